"""Plug-ins: an example package, built and installed, adds one of everything; a broken one is a warning and no more."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import nasbench_mo

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests" / "plugin_example"
ARCH = "depth=3,width=64,act=relu,norm=none,skip=yes"

#: Kind of list to the name that the example adds to it.
ADDED = {
    "spaces": "example-mlp",
    "problems": "example-mlp-cpu-v1",
    "predictors": "example-mlp-error-v1",
    "tables": "example-cpu-latency-v1",
    "searchers": "example-sampler",
    "sources": "example-csv",
    "devices": "cpu of the example",
}

#: Runs several command lines in one interpreter and prints what each returned and wrote.
COMMANDS = """
import contextlib, io, json, logging, sys
from nasbench_mo.cli import main
done = []
for arguments in json.loads(sys.stdin.read()):
    sys.argv, code = ["nasbench-mo", *arguments], 0
    logging.root.handlers.clear()  # they keep the stream of the command before
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
    done.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(done))
"""
LISTS = [["list", kind, "--json"] for kind in ADDED]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the example's wheel lies unpacked, as an installer leaves it."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(EXAMPLE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    subprocess.run(command, cwd=folder / "source", capture_output=True, check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


#: Entry points that fail, each in its own way.
BROKEN = """
[nasbench_mo.spaces]
broken-import = nmo_broken.raises:anything
broken-attribute = nmo_broken:missing
broken-call = nmo_broken:fails
broken-kind = nmo_broken:gives_a_number

[nasbench_mo.problems]
broken-problem = nmo_broken:a_number

[nasbench_mo.searchers]
broken-searcher = nmo_broken.raises:anything

[nasbench_mo.sources]
broken-source = nmo_broken.raises:anything

[nasbench_mo.predictors]
broken-predictor = nmo_broken:no_folder
broken-predictor-empty = nmo_broken:card_only
broken-predictor-call = nmo_broken:fails

[nasbench_mo.devices]
broken-device = nmo_broken:no_folder
broken-device-name = nmo_broken:card_only
broken-device-card = nmo_broken:poor_card
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an installed package none of whose plug-ins works."""
    site = tmp_path_factory.mktemp("broken")
    package = site / "nmo_broken"
    for name in ("broken-predictor-empty", "broken-device-card"):
        (package / name).mkdir(parents=True)
        (package / name / "card.md").write_text(f"---\nid: {name}\n---\n", encoding="utf-8")
    code = f"""
    from pathlib import Path
    a_number = 3
    no_folder = Path({str(site / "nowhere")!r})
    card_only = Path({str(package / "broken-predictor-empty")!r})
    poor_card = Path({str(package / "broken-device-card")!r})
    def fails(): raise ZeroDivisionError("not today")
    def gives_a_number(): return 3
    """
    (package / "__init__.py").write_text(textwrap.dedent(code), encoding="utf-8")
    (package / "raises.py").write_text("raise RuntimeError('no licence\\nfound')\n", encoding="utf-8")
    metadata = site / "nmo_broken-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: nmo-broken\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(BROKEN, encoding="utf-8")
    return site


def run(code: str, *, sites: Sequence[Path], cache: Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Python in an interpreter in which the packages of these folders are installed."""
    paths = os.pathsep.join(map(str, [*sites, Path(nasbench_mo.__file__).parents[1]]))
    environment = {**os.environ, "PYTHONPATH": paths, "NASBENCH_MO_CACHE": str(cache), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=cache, input=given
    )


def commands(lines: Sequence[Sequence[str]], *, sites: Sequence[Path], cache: Path) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each command line."""
    done = run(COMMANDS, sites=sites, cache=cache, given=json.dumps(lines))
    assert (done.returncode, done.stderr) == (0, "")
    return [(code, out, err) for code, out, err in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def listed(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Every list with the example installed."""
    done = commands(LISTS, sites=[installed], cache=tmp_path_factory.mktemp("cache"))
    assert {(code, err) for code, _, err in done} == {(0, "")}
    return {kind: json.loads(out) for kind, (_, out, _) in zip(ADDED, done, strict=True)}


@pytest.mark.parametrize("kind", ADDED)
def test_what_a_package_announces_is_listed(kind: str, listed: dict[str, list[dict[str, str]]]) -> None:
    names = [next(iter(row.values())) for row in listed[kind]]
    assert names.count(ADDED[kind]) == 1
    assert len(names) > 1
    if kind == "tables":
        assert {row["where"] for row in listed[kind] if row["table"] == ADDED[kind]} == {"plug-in"}


def test_what_a_package_announces_works_together(installed: Path, tmp_path: Path) -> None:
    code = f"""
    import numpy as np, nasbench_mo as nmo
    from nasbench_mo.testing import check_space
    mlp = nmo.space("example-mlp")
    check_space(mlp)
    problem = nmo.problem("example-mlp-cpu-v1")
    F = problem.evaluate([{ARCH!r}])
    model = nmo.predictor("example-mlp-error-v1")
    assert F[0, 0] == model.predict([{ARCH!r}])[0]
    assert F[0, 1] == nmo.table("example-cpu-latency-v1").matrix(["latency_cpu_ms"])[mlp.code({ARCH!r}), 0]
    run = nmo.run(problem, "example-sampler", budget=60, seed=1)
    print(run.identity.searcher, run.hypervolume_share() > 0.8)
    """
    done = run(textwrap.dedent(code), sites=[installed], cache=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "example-sampler True\n", "")


def test_a_searcher_of_a_package_keeps_the_contract(installed: Path, tmp_path: Path) -> None:
    code = """
    from nasbench_mo.search import searcher
    from nasbench_mo.space import space
    from nasbench_mo.testing import check_searcher
    check_searcher(lambda s, m, seed: searcher("example-sampler", s, m, seed=seed), space=space("nb201"))
    """
    done = run(textwrap.dedent(code), sites=[installed], cache=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_commands_take_the_names(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "accuracies.txt").write_text(f"{ARCH} 91.5\n", encoding="utf-8")
    expected = {
        ("import", "example-csv", "accuracies.txt"): "example-accuracy-v1",
        ("query", "example-mlp-cpu-v1", ARCH): "latency_cpu_ms",
        ("predict", "example-mlp-error-v1", ARCH): "error_percent",
        ("show", "example-cpu-latency-v1"): "made-up latencies",
        ("show", "example-csv"): "an architecture and an accuracy",
    }
    done = commands([*expected], sites=[installed], cache=tmp_path)
    for (arguments, said), (code, out, err) in zip(expected.items(), done, strict=True):
        assert (code, err) == (0, ""), arguments
        assert said in out


def test_a_broken_package_is_one_warning_each_and_nothing_else_changes(
    installed: Path, broken: Path, listed: dict[str, list[dict[str, str]]], tmp_path: Path
) -> None:
    again = ["spaces", "predictors"]  # a second time there is no second warning
    done = commands([*LISTS, *(["list", kind, "--json"] for kind in again)], sites=[broken, installed], cache=tmp_path)
    for kind, (code, out, _) in zip([*ADDED, *again], done, strict=True):
        assert code == 0
        assert json.loads(out) == listed[kind]
    warnings = [line for _, _, err in done for line in err.splitlines()]
    form = re.compile(r"WARNING: the [a-z ]+ '(\S+)', a plug-in of the package 'nmo-broken' \(\S+\), is left out: (.*)")
    said = {found[1]: found[2] for line in warnings if (found := form.fullmatch(line))}
    assert len(warnings) == len(said)
    assert set(said) == set(re.findall(r"^(broken-\S+) = ", BROKEN, flags=re.MULTILINE))
    assert said["broken-import"] == "RuntimeError: no licence found"
    assert said["broken-attribute"].startswith("AttributeError")
    assert said["broken-call"] == "ZeroDivisionError: not today"
    assert "must make a SearchSpace, got int" in said["broken-kind"]
    assert "must be a ProblemSpec, got int" in said["broken-problem"]
    assert "nowhere" in said["broken-predictor"]
    assert "holds 'broken-predictor-empty'" in said["broken-device-name"]


def test_a_broken_plug_in_is_an_error_where_it_is_asked_for(broken: Path, tmp_path: Path) -> None:
    expected = {
        ("show", "broken-import"): "search space 'broken-import' as 'nmo_broken.raises:anything' cannot be imported",
        ("search", "nb201s-c10-flops-v1", "--searcher", "broken-searcher"): "uninstall the package 'nmo-broken'",
        ("predict", "broken-predictor", ARCH): "must be a folder with a card.md",
        ("query", "broken-device-name", ARCH): "holds 'broken-predictor-empty'",
    }
    done = commands([*expected], sites=[broken], cache=tmp_path)
    for said, (code, _, err) in zip(expected.values(), done, strict=True):
        assert code == 2
        assert re.fullmatch(r"error: .*\n", err)
        assert said in err


def test_names_of_built_ins_are_found_without_looking_for_plug_ins(broken: Path, tmp_path: Path) -> None:
    code = """
    import importlib.metadata
    def refuse(**parameters):
        if str(parameters.get("group", "")).startswith("nasbench_mo"):
            raise AssertionError(f"looked for {parameters}")
        return found(**parameters)
    found, importlib.metadata.entry_points = importlib.metadata.entry_points, refuse
    import nasbench_mo as nmo
    import sys
    print(len([m for m in sys.modules if m.startswith("nasbench_mo.")]))
    problem = nmo.problem("nb201s-c10-fpga-v1")
    nmo.searcher("random", problem.space, 2).ask(4)
    nmo.predictor("nb201-c10-valerr-xgb-v1"), nmo.table("nb201-fpga-latency-modelled-v1")
    try:
        nmo.space("no-such-space")
    except AssertionError as error:
        print(error)
    """
    done = run(textwrap.dedent(code), sites=[broken], cache=tmp_path)
    assert done.stderr == ""
    assert done.stdout == "0\nlooked for {'group': 'nasbench_mo.spaces'}\n"


def test_the_artefacts_of_the_example_are_made_again_by_its_script(installed: Path, tmp_path: Path) -> None:
    script = f"import runpy, sys; sys.argv = ['make', {str(tmp_path / 'again')!r}]; "
    script += f"runpy.run_path({str(EXAMPLE / 'make_artefacts.py')!r}, run_name='__main__')"
    done = run(script, sites=[installed], cache=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    stored = EXAMPLE / "nmo_example" / "artefacts"
    kept, made = (
        json.loads((root / "example-mlp-error-v1" / "reference.json").read_text(encoding="utf-8"))
        for root in (stored, tmp_path / "again")
    )
    assert kept["archs"] == made["archs"]
    np.testing.assert_allclose(kept["values"], made["values"], rtol=1e-6)
    tables = [
        nasbench_mo.table(root / "example-cpu-latency-v1" / "table.parquet") for root in (stored, tmp_path / "again")
    ]
    np.testing.assert_array_equal(*(table.matrix(["latency_cpu_ms"]) for table in tables))


def test_every_group_is_documented() -> None:
    package = Path(nasbench_mo.__file__).parent
    code = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    groups = set(re.findall(r'group="(nasbench_mo\.\w+)"', code))
    assert {
        f"nasbench_mo.{kind}" for kind in ("spaces", "problems", "searchers", "sources", "predictors", "devices")
    } <= groups
    for text in ((package / "registry.py"), ROOT / "docs" / "extending-plugins.md"):
        named = set(re.findall(r"`(nasbench_mo\.[a-z_]+)`", text.read_text(encoding="utf-8")))
        assert groups <= named, text.name
