"""Names to objects: built-ins, plug-ins of installed packages, and plug-ins that are broken."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nasbench_mo.errors import MissingDependencyError, UnknownNameError
from nasbench_mo.registry import Registry

GROUP = "nasbench_mo.toys"


def make(**builtins: str) -> Registry:
    return Registry("toy", builtins=builtins, group=GROUP)


def install(folder: Path, *, name: str, code: str, points: str) -> None:
    """Put a module and the metadata of an installed distribution that announces plug-ins into a folder."""
    (folder / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(textwrap.dedent(points), encoding="utf-8")


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    install(
        tmp_path,
        name="nmo_toys",
        code="""
        class Holder:
            inner = "nested"

        VALUE = "plugged"
        """,
        points=f"""
        [{GROUP}]
        plugged = nmo_toys:VALUE
        nested = nmo_toys:Holder.inner
        extra = nmo_toys:VALUE [fancy]
        prod = nmo_toys:VALUE
        no-attribute = nmo_toys:MISSING
        no-module = nmo_toys_missing:VALUE
        only-a-module = nmo_toys
        """,
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_builtin_is_imported_when_it_is_asked_for() -> None:
    registry = make(prod="math:prod", broken="no_such_module:x")
    assert registry.names() == ["prod", "broken"]
    assert registry.get("prod")([2, 3]) == 6
    with pytest.raises(ModuleNotFoundError):
        registry.get("broken")


def test_an_unknown_name_suggests_its_neighbour_and_lists_all() -> None:
    with pytest.raises(UnknownNameError, match=r"no toy is called 'prodd'. Did you mean 'prod'\? Known: prod, sqrt"):
        make(prod="math:prod", sqrt="math:sqrt").get("prodd")


def test_a_registry_is_a_collection_of_its_names() -> None:
    registry = make(prod="math:prod", sqrt="math:sqrt")
    assert "prod" in registry
    assert "cos" not in registry
    assert 5 not in registry
    assert list(registry) == ["prod", "sqrt"]


@pytest.mark.usefixtures("plugins")
def test_a_plugin_announces_itself_by_an_entry_point() -> None:
    registry = make(prod="math:prod")
    assert registry.names()[:1] == ["prod"]
    assert {"plugged", "nested", "extra"} <= set(registry)
    assert registry.get("plugged") == "plugged"


@pytest.mark.usefixtures("plugins")
def test_an_entry_point_may_name_extras_and_a_part_of_an_object() -> None:
    assert make().get("extra") == "plugged"
    assert make().get("nested") == "nested"


@pytest.mark.usefixtures("plugins")
def test_a_builtin_wins_over_a_plugin_of_its_name() -> None:
    registry = make(prod="math:prod")
    assert registry.names().count("prod") == 1
    assert registry.get("prod")([2, 3]) == 6
    assert make().get("prod") == "plugged"


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(("name", "reason"), [("no-attribute", "MISSING"), ("no-module", "nmo_toys_missing")])
def test_a_broken_plugin_is_named_and_only_when_it_is_used(name: str, reason: str) -> None:
    registry = make()
    assert name in registry
    assert registry.get("plugged") == "plugged"
    with pytest.raises(MissingDependencyError, match=rf"toy '{name}' as '.*' cannot be imported \(.*{reason}"):
        registry.get(name)


@pytest.mark.usefixtures("plugins")
def test_a_plugin_that_is_no_attribute_is_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="nasbench_mo.registry"):
        assert "only-a-module" not in make().names()
    assert "'only-a-module' of group nasbench_mo.toys is not 'module:attribute'" in caplog.text


def test_a_search_space_of_another_package_is_found_by_its_name(tmp_path: Path) -> None:
    install(
        tmp_path,
        name="nmo_space",
        code="""
        from nasbench_mo import CategoricalSpace

        def mlp():
            return CategoricalSpace("mlp", {"depth": [1, 2, 3]})
        """,
        points="""
        [nasbench_mo.spaces]
        mlp = nmo_space:mlp
        """,
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import nasbench_mo as nmo; print(nmo.space('mlp').size)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "3\n"


@pytest.mark.usefixtures("plugins")
def test_a_plugin_that_wants_the_name_of_a_builtin_is_ignored_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    registry = make(prod="math:prod")
    assert "plugged" in registry.names()
    assert registry.get("prod")([2, 3]) == 6
    assert "the toy 'prod' of the package 'nmo_toys' is ignored: a built-in has this name" in caplog.text


@pytest.mark.usefixtures("plugins")
def test_of_two_plugins_of_one_name_the_first_stays_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    install(other, name="nmo_more_toys", code="VALUE = 'other'", points=f"[{GROUP}]\nplugged = nmo_more_toys:VALUE\n")
    monkeypatch.syspath_prepend(str(other))
    registry = make()
    assert registry.names().count("plugged") == 1
    assert registry.get("plugged") == "other"
    assert "'plugged' of the package 'nmo_toys' is ignored: the package 'nmo_more_toys' has one too" in caplog.text


@pytest.mark.usefixtures("plugins")
def test_each_leaves_broken_plugins_out_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    registry = make(pi="math:pi")
    for _ in range(2):
        found = list(registry.each(lambda name: (name, registry.get(name)), without=("extra",)))
        assert [name for name, _ in found] == ["pi", "plugged", "nested", "prod"]
    said = [record.getMessage() for record in caplog.records if "is left out" in record.getMessage()]
    assert len(said) == 2
    assert "the toy 'no-attribute', a plug-in of the package 'nmo_toys' (nmo_toys:MISSING), is left out" in said[0]
    assert "no-module" in said[1]


def test_each_raises_what_is_wrong_with_a_builtin() -> None:
    registry = make(broken="no_such_module:x")
    with pytest.raises(ModuleNotFoundError):
        list(registry.each(registry.get))
