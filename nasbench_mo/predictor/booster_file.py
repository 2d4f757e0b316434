"""Trees in XGBoost's UBJSON, read and checked before XGBoost sees them.

XGBoost trusts its own files: an array that is too short, or a child beyond the last node, is a segmentation fault,
which no ``except`` catches. So the bytes are parsed here first, strictly, and every index of every tree is looked at;
only what passes is loaded. The format is Universal Binary JSON, draft 12 (https://ubjson.org), as XGBoost 2.1 and later
write it for numerical features and one target.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nasbench_mo.errors import FormatError

_MAX_DEPTH: Final = 16
#: Marker to the dtype of an array, big-endian as UBJSON wants.
_ARRAYS: Final[Mapping[bytes, str]] = {b"d": ">f4", b"D": ">f8", b"l": ">i4", b"L": ">i8", b"U": ">u1", b"i": ">i1"}
_INTEGERS: Final[Mapping[bytes, str]] = {b"i": ">b", b"U": ">B", b"I": ">h", b"l": ">i", b"L": ">q"}
_FLOATS: Final[Mapping[bytes, str]] = {b"d": ">f", b"D": ">d"}
_CONSTANTS: Final[Mapping[bytes, bool | None]] = {b"T": True, b"F": False, b"Z": None}

_NODE_ARRAYS: Final = {
    "base_weights": "f",
    "loss_changes": "f",
    "split_conditions": "f",
    "sum_hessian": "f",
    "default_left": "u",
    "split_type": "u",
    "left_children": "i",
    "right_children": "i",
    "parents": "i",
    "split_indices": "i",
}


def load_booster(raw: bytes) -> Any:
    """The XGBoost booster that some bytes are; it predicts with one thread.

    Raises
    ------
    FormatError
        They are not boosted trees of numerical features and one target, or contradict themselves.

    Notes
    -----
    The check is O(bytes): about 50 ms for 300 trees in 2 MB.
    """
    import xgboost

    check_booster(parse_ubjson(raw))
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(raw))
        booster.set_param({"nthread": 1})
    except (xgboost.core.XGBoostError, ValueError, TypeError) as error:
        raise FormatError(f"damaged trees: {str(error).splitlines()[0][:200]}") from error
    return booster


def check_booster(fields: Any) -> None:
    """Refuse trees in which an index or a length is not what prediction relies on.

    Raises
    ------
    FormatError
        The first such place.
    """
    try:
        learner = fields["learner"]
        parameters, booster = learner["learner_model_param"], learner["gradient_booster"]
        n_features = int(parameters["num_feature"])
        if booster["name"] != "gbtree":
            raise FormatError(f"expected boosted trees ('gbtree'), got {str(booster['name'])[:40]!r}")
        if int(parameters["num_class"]) > 1 or int(parameters.get("num_target", "1")) != 1:
            raise FormatError("expected trees of one target")
        model = booster["model"]
        trees = model["trees"]
        n_trees = int(model["gbtree_model_param"]["num_trees"])
        if not len(trees) == n_trees == len(model["tree_info"]):
            raise FormatError(f"expected {n_trees} trees, got {len(trees)} and {len(model['tree_info'])} groups")
        if any(group != 0 for group in model["tree_info"]):
            raise FormatError("expected trees of one target")
        rounds = list(model["iteration_indptr"])
        if rounds[:1] != [0] or rounds[-1:] != [n_trees] or rounds != sorted(rounds):
            raise FormatError("the rounds do not end with the last tree")
        if any(len(part) for part in model.get("cats", {}).values()):
            raise FormatError("expected numerical features, got categories")
        for number, tree in enumerate(trees):
            _check_tree(tree, number=number, n_features=n_features)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"not a model of XGBoost: {type(error).__name__} {str(error)[:100]}") from error


def _check_tree(tree: Mapping[str, Any], *, number: int, n_features: int) -> None:
    parameters = tree["tree_param"]
    n = int(parameters["num_nodes"])
    if int(parameters["size_leaf_vector"]) > 1 or int(parameters["num_feature"]) != n_features or tree["id"] != number:
        raise FormatError(f"tree {number} has other parameters than the model")
    for name, kind in _NODE_ARRAYS.items():
        values = tree[name]
        if not isinstance(values, np.ndarray) or values.dtype.kind != kind or values.shape != (n,) or n < 1:
            raise FormatError(f"tree {number}: expected {n} values of {name}")
    if any(len(tree[name]) for name in tree if name.startswith("categories")) or tree["split_type"].any():
        raise FormatError(f"tree {number}: expected numerical features, got categories")
    left, right, parents = tree["left_children"], tree["right_children"], tree["parents"]
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    # each node below one parent, and the root below none: so no walk from the root comes back
    if (right[left == -1] != -1).any() or children.size != np.unique(children).size:
        raise FormatError(f"tree {number}: a node has two parents, or one child")
    if children.size and not (1 <= children.min() and children.max() < n):
        raise FormatError(f"tree {number}: a child is outside its {n} nodes")
    if not np.array_equal(parents[children], np.concatenate([inner, inner])):
        raise FormatError(f"tree {number}: parents and children contradict each other")
    split = tree["split_indices"][inner]
    if split.size and not (0 <= split.min() and split.max() < n_features):
        raise FormatError(f"tree {number}: a feature is outside the {n_features} of the model")


def parse_ubjson(raw: bytes) -> Any:
    """What UBJSON of XGBoost says; typed arrays come out as NumPy arrays.

    Raises
    ------
    FormatError
        It is cut off, goes on after its end, is nested too deep, or has a marker that XGBoost does not write.
    """
    reader = _Reader(raw)
    try:
        value = reader.value(depth=0)
    except (struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"not UBJSON at byte {reader.at}: {error}") from error
    if reader.at != len(raw):
        raise FormatError(f"UBJSON that ends at byte {reader.at} of {len(raw)}")
    return value


class _Reader:
    """A cursor over UBJSON."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = 0

    def value(self, *, depth: int) -> Any:
        marker = self._take(1)
        if marker in _INTEGERS:
            return self._number(_INTEGERS[marker])
        if marker in _FLOATS:
            return self._number(_FLOATS[marker])
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker == b"S":
            return self._text()
        if depth >= _MAX_DEPTH:
            raise FormatError(f"UBJSON nested more than {_MAX_DEPTH} deep at byte {self.at}")
        if marker == b"{":
            return self._object(depth=depth + 1)
        if marker == b"[":
            return self._array(depth=depth + 1)
        raise FormatError(f"not UBJSON of XGBoost: the marker {marker!r} before byte {self.at}")

    def _object(self, *, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while self.raw[self.at : self.at + 1] != b"}":
            key = self._text()
            if key in made:
                raise FormatError(f"UBJSON with the key {key[:40]!r} twice before byte {self.at}")
            made[key] = self.value(depth=depth)
        self.at += 1
        return made

    def _array(self, *, depth: int) -> list[Any] | NDArray[Any]:
        marker = self._take(1)
        if marker == b"$":
            kind = self._take(1)
            if kind not in _ARRAYS or self._take(1) != b"#":
                raise FormatError(f"not UBJSON of XGBoost: an array of {kind!r} before byte {self.at}")
            dtype = np.dtype(_ARRAYS[kind])
            return np.frombuffer(self._take(self._length() * dtype.itemsize), dtype=dtype)
        if marker != b"#":
            raise FormatError(f"not UBJSON of XGBoost: an array without a length at byte {self.at}")
        n = self._length()
        if n > len(self.raw) - self.at:
            raise FormatError(f"UBJSON that is cut off: an array of {n} at byte {self.at}")
        return [self.value(depth=depth) for _ in range(n)]

    def _text(self) -> str:
        return self._take(self._length()).decode("utf-8")

    def _length(self) -> int:
        if self._take(1) != b"L":
            raise FormatError(f"not UBJSON of XGBoost: expected a length before byte {self.at}")
        n = int(self._number(">q"))
        if n < 0:
            raise FormatError(f"UBJSON with the length {n} before byte {self.at}")
        return n

    def _number(self, code: str) -> Any:
        return struct.unpack(code, self._take(struct.calcsize(code)))[0]

    def _take(self, n: int) -> bytes:
        if n > len(self.raw) - self.at:
            raise FormatError(f"UBJSON that is cut off: {n} bytes wanted at byte {self.at} of {len(self.raw)}")
        self.at += n
        return self.raw[self.at - n : self.at]
