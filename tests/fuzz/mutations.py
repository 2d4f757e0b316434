"""Seeded damage to files: blind changes of bytes, and changes that keep a format whole while its content lies.

Every function takes the valid bytes and a random generator and returns other bytes. A byte mutator is used instead of
Hypothesis because ten thousand inputs have to pass through readers within minutes.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import yaml

Mutator = Callable[[bytes, random.Random], bytes]

#: What a reader is told instead of a value.
ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1 << 31, 1 << 63, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "\x00",
    "../../etc/passwd",
    "</script><!--<script>alert(1)</script>", "a" * 10_000, "e\u0301\u202e\U0001f4a9", [], {}, [[]], [None], {"a": 1},
    {"": None}, [1, "a", None], "1e999", "2001-99-99",
)  # fmt: skip
_ODD_TEXTS: tuple[str, ...] = (
    "NaN", "-Infinity", "1e999", "-1", "9" * 500, "9" * 5000, "0x" + "f" * 5000, "null", "true", '""', "[]", "{}",
    "\\ud800",
    '"\\ud800"', "\x00", "\ufeff", "[" * 2000, "{" * 200, '{"a":' * 2000, "&a [*a]", "*a", "&a x", "<<: *a",
    "!!python/object/apply:os.system ['true']", "!!binary x", "!!int ''", "!!timestamp x", "!!bool x", "!!float y",
    "2001-99-99", "? [a]", "---", "...", "\t", "\r\n", ",", ":", "|", "1_000", "01:99:99", "=", "!!set {a, b}",
    "- ", "%",
)  # fmt: skip


def any_bytes(data: bytes, rng: random.Random) -> bytes:
    """One to four blind changes."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_BLIND)(made, rng)
    return bytes(made)


def _flip(made: bytearray, rng: random.Random) -> None:
    if made:
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)


def _overwrite(made: bytearray, rng: random.Random) -> None:
    at, n = rng.randrange(len(made) + 1), rng.choice((1, 2, 4, 8, 16))
    made[at : at + n] = rng.choice((b"\x00", b"\xff", b"\x7f", rng.randbytes(1))) * n


def _cut(made: bytearray, rng: random.Random) -> None:
    del made[rng.randrange(len(made) + 1) :]


def _remove(made: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(made) + 1)
    del made[at : at + rng.choice((1, 4, 64, 1000))]


def _repeat(made: bytearray, rng: random.Random) -> None:
    at, n = rng.randrange(len(made) + 1), rng.choice((1, 8, 100))
    made[at:at] = made[at : at + n] * rng.choice((1, 2, 100))


def _insert(made: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(made) + 1)
    made[at:at] = rng.randbytes(rng.choice((1, 3, 50)))


def _number(made: bytearray, rng: random.Random) -> None:
    value = rng.choice((0, 1, 127, 255, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 40), (1 << 63) - 1, (1 << 64) - 1))
    width = rng.choice((1, 2, 4, 8))
    at = rng.randrange(len(made) + 1)
    made[at : at + width] = (value & ((1 << (8 * width)) - 1)).to_bytes(width, rng.choice(("little", "big")))


def _nothing_left(made: bytearray, rng: random.Random) -> None:
    beginnings = (b"", b"\x00", b"PAR1", b"PK\x03\x04", b"{}", b"[]", b"null", b"\x80\x04.")
    made[:] = rng.choice((*beginnings, rng.randbytes(200)))


_BLIND = (_flip, _flip, _flip, _overwrite, _cut, _remove, _repeat, _insert, _number, _number, _nothing_left)


def any_text(data: bytes, rng: random.Random) -> bytes:
    """Changes of words, numbers and lines, which no grammar survives for long."""
    text = data.decode("utf-8", errors="replace")
    for _ in range(rng.choice((1, 1, 2, 5))):
        spots = list(re.finditer(r"-?\d[\d.e+-]*|[A-Za-z_]\w*|\"[^\"]*\"|[\[\]{}:,|~]", text[:20_000]))
        odd = rng.choice(_ODD_TEXTS)
        what = rng.randrange(5)
        if what <= 2 and spots:
            spot = rng.choice(spots)
            text = text[: spot.start()] + (odd if what < 2 else "") + text[spot.end() :]
        elif what == 3:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + odd + text[at:]
        else:
            lines = text.split("\n")
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[i : i + rng.randrange(2)] = [lines[j]] * rng.randrange(3)
            text = "\n".join(lines)
    return text.encode("utf-8", errors="surrogatepass")


def changed_tree(tree: Any, rng: random.Random) -> Any:
    """A copy of plain containers with one to three places changed, removed or repeated."""
    tree = json.loads(json.dumps(tree, default=str))
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return rng.choice(ODD_VALUES)
        holder, key = rng.choice(places)
        what = rng.randrange(4)
        if what == 0 and isinstance(holder, dict):
            holder[rng.choice(("extra", "", "__class__", "id", "format"))] = holder.pop(key)
        elif what == 0:
            holder.insert(rng.randrange(len(holder) + 1), holder[key])
        elif what == 1:
            del holder[key]
        else:
            holder[key] = rng.choice(ODD_VALUES)
    return tree


def _places(tree: Any) -> Any:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def json_tree(data: bytes, rng: random.Random) -> bytes:
    """JSON of another content."""
    return json.dumps(changed_tree(json.loads(data), rng)).encode()


def json_lines(data: bytes, rng: random.Random) -> bytes:
    """JSON lines one of which is of another content."""
    lines = data.splitlines()
    i = rng.randrange(len(lines))
    lines[i] = json_tree(lines[i], rng)
    return b"\n".join(lines) + b"\n"


def yaml_tree(data: bytes, rng: random.Random) -> bytes:
    """YAML of another content."""
    return yaml.safe_dump(changed_tree(yaml.safe_load(data), rng)).encode("utf-8", errors="surrogatepass")


def zip_member(inner: Mutator) -> Mutator:
    """A whole zip file with one member changed."""

    def mutate(data: bytes, rng: random.Random) -> bytes:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = rng.choice(list(members))
        content = inner(members.pop(name), rng)
        if rng.random() < 0.1:
            name = rng.choice((f"../{name}", f"/{name}", "a" * 300, name.upper()))
        members[name] = content
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for each, held in members.items():
                archive.writestr(each, held)
        return out.getvalue()

    return mutate


_ODD_DTYPES = (
    "'<f8'", "'|O'", "'<U1000000000'", "'|V8'", "'<M8[s]'", "[('a', '<f8')]", "'<c16'", "'|S0'", "'>i2'",
)  # fmt: skip


def npy(data: bytes, rng: random.Random) -> bytes:
    """An array whose header announces another shape or dtype than its bytes have, or another array altogether."""
    if rng.random() < 0.5:
        end = data.index(b"\n") + 1
        header = data[10:end].decode("latin1")
        odd = rng.choice(
            ("(1000000000000,)", "(-1,)", "()", "(0,)", "(1,)", "(2, 3)", "(1,1,1,1,1,1,1,1,1,1)", "(True,)", "x")
        )
        kind = rng.choice(_ODD_DTYPES)
        if rng.random() < 0.6:
            header = re.sub(r"'shape': \([^)]*\)", f"'shape': {odd}", header)
        if rng.random() < 0.5:
            header = re.sub(r"'descr': '[^']*'", f"'descr': {kind}", header)
        text = header.encode("latin1")
        return data[:8] + len(text).to_bytes(2, "little") + text + data[end:]
    values = rng.choice(
        (
            np.array([]), np.array(1.0), np.array([np.nan, np.inf]), np.zeros((2, 2, 2)), np.array(["x"]),
            np.array([b"\xff"]),
            np.array([-1]), np.array([1 << 40]), np.zeros((100, 1)), np.array([True]), np.array([1j]), np.full(3, -5),
        )
    )  # fmt: skip
    out = io.BytesIO()
    np.save(out, values, allow_pickle=False)
    return out.getvalue()


def compressed_gzip(inner: Mutator) -> Mutator:
    """A whole gzip stream of other content."""
    return lambda data, rng: gzip.compress(inner(gzip.decompress(data), rng), compresslevel=1)


def compressed_bz2(inner: Mutator) -> Mutator:
    """A whole bzip2 stream of other content."""
    return lambda data, rng: bz2.compress(inner(bz2.decompress(data), rng), compresslevel=1)


def tar_member(data: bytes, rng: random.Random) -> bytes:
    """A tar.gz one of whose members is changed: its content, its name, or its kind."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as old, tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as new:
        entries = old.getmembers()
        chosen = rng.choice(entries)
        for entry in entries:
            stream = old.extractfile(entry)
            content = stream.read() if stream is not None else b""
            if entry is chosen:
                what = rng.randrange(4)
                if what == 0:
                    entry.name = rng.choice(("../result_1.json", "/etc/result_1.json", "result_1.json", "a" * 300))
                elif what == 1:
                    entry.type = rng.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE))
                    entry.linkname = "/etc/passwd"
                    content = b""
                else:
                    content = rng.choice((any_text, json_tree))(content, rng) if content[:1] == b"{" else b"{"
            entry.size = len(content)
            new.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def parquet(data: bytes, rng: random.Random) -> bytes:
    """A whole Parquet file with another column, type, row or header."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    what = rng.randrange(6)
    index = rng.randrange(table.num_columns)
    name = table.column_names[index]
    if what == 0:
        table = table.drop_columns([name])
    elif what == 1:
        n = table.num_rows
        odd = rng.choice(
            (
                pa.array([None] * n, pa.float64()), pa.array(["x"] * n), pa.array([[1.0]] * n),
                pa.array([{"a": 1}] * n),
                pa.array([b"\xff"] * n), pa.array([1 << 40] * n), pa.array([float("inf")] * n), pa.array([True] * n),
                pa.array([None] * n, pa.string()), pa.array(["x"] * n).dictionary_encode(),
                pa.array([-1] * n, pa.int8()),
                pa.nulls(n), pa.array(["\u202e</script>" * 20] * n),
            )
        )  # fmt: skip
        table = table.set_column(index, pa.field(name, odd.type, metadata=table.schema.field(index).metadata), odd)
    elif what == 2:
        other = rng.choice(("x", "", "arch", name))
        table = table.rename_columns([other if c == name else c for c in table.column_names])
    elif what == 3:
        rows = [rng.randrange(table.num_rows) for _ in range(rng.randrange(2 * table.num_rows))]
        table = table.take(pa.array(rows, pa.int64()))
    elif table.schema.metadata:
        metadata = dict(table.schema.metadata)
        key = rng.choice([k for k in metadata if k != b"ARROW:schema"] or list(metadata))
        mutate = rng.choice((any_bytes, any_text, json_tree, json_tree, json_tree))
        metadata[key] = mutate(metadata[key], rng)
        table = table.replace_schema_metadata(metadata)
    if what == 5 and table.num_columns > index and table.schema.field(index).metadata:
        field = table.schema.field(index)
        metadata = {k: rng.choice((any_bytes, any_text))(v, rng) for k, v in field.metadata.items()}
        schema = table.schema.set(index, field.with_metadata(metadata))
        table = pa.Table.from_arrays(table.columns, schema=schema)
    out = io.BytesIO()
    pq.write_table(table, out, compression=rng.choice(("zstd", "snappy", "none")))
    return out.getvalue()
