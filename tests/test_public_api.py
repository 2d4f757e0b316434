"""The public names are complete and lazy, and importing the package loads nothing heavy."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import nasbench_mo as nmo

HEAVY = (
    "torch", "xgboost", "sklearn", "pymoo", "botorch", "pandas", "pyarrow", "moocore", "scipy", "matplotlib", "typer",
    "rich", "yaml", "pooch",
)  # fmt: skip


def run(script: str) -> str:
    """Standard output of a script in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    ).stdout


def test_every_public_name_is_importable() -> None:
    for name in nmo.__all__:
        assert getattr(nmo, name) is not None
        assert callable(getattr(nmo, name)), name


def test_all_is_sorted_unique_and_equal_to_the_names_type_checkers_see() -> None:
    assert len(set(nmo.__all__)) == len(nmo.__all__)
    assert nmo.__all__ == sorted(nmo.__all__)
    tree = ast.parse(Path(nmo.__file__).read_text(encoding="utf-8"))
    typed = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert typed == set(nmo.__all__)


def test_dir_lists_the_public_names_and_the_version() -> None:
    assert dir(nmo) == sorted([*nmo.__all__, "__version__"])
    assert nmo.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'hypervolum'"):
        nmo.hypervolum  # noqa: B018


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = f"import sys, nasbench_mo; print(sorted(m for m in {HEAVY!r} if m in sys.modules))"
    assert run(script) == "[]\n"


def test_spaces_need_neither_tables_nor_searchers() -> None:
    script = (
        "import sys, nasbench_mo as nmo; nmo.space('nb201').enumerate(); nmo.CategoricalSpace('a', {'b': [1]});"
        f"print(sorted(m for m in {HEAVY!r} if m in sys.modules))"
    )
    assert run(script) == "[]\n"


CLASS_OF = {"space": "SearchSpace", "table": "Table", "predictor": "Predictor"}


@pytest.mark.parametrize("first", CLASS_OF)
@pytest.mark.parametrize("imported", [False, True])
def test_a_function_with_a_modules_name_can_be_called_before_and_after_the_module_is_imported(
    first: str, imported: bool
) -> None:
    script = f"""
import nasbench_mo as nmo
from nasbench_mo.errors import UnknownNameError
if {imported}:
    import nasbench_mo.{first}
    from nasbench_mo.{first} import {CLASS_OF[first]}
try:
    nmo.{first}("no-such-name")
except UnknownNameError as error:
    print("called:", "no-such-name" in str(error))
import nasbench_mo.{first} as module
print(module is nmo.{first}, module.__name__)
print(nmo.space("nb201").size)
"""
    assert run(script) == f"called: True\nTrue nasbench_mo.{first}\n15625\n"


def test_every_public_name_has_an_example_that_is_run() -> None:
    for name in nmo.__all__:
        module, _, attribute = nmo._HOME[name].partition(":")
        documented = getattr(importlib.import_module(f"nasbench_mo.{module}"), attribute)
        assert ">>> " in (documented.__doc__ or ""), name


def test_star_import_brings_every_public_name() -> None:
    assert (
        run("from nasbench_mo import *\nprint(space('nb201').size, callable(table), callable(run))")
        == "15625 True True\n"
    )
