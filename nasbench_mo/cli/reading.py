"""The reading commands: list, show, query, predict. Each prints text for people or JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nasbench_mo import artifacts
from nasbench_mo.errors import ArtifactError, SpecError, UnknownNameError, did_you_mean
from nasbench_mo.objective import Objective

if TYPE_CHECKING:
    from nasbench_mo.predictor.inputs import InputValues


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


# ---------------------------------------------------------------------- list


def print_list(kind: str, *, as_json: bool) -> None:
    """Print all things of a kind, one row each."""
    rows = _LISTS[kind]()
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"no {kind} yet" + ("; see 'nasbench-mo import --help'" if kind == "tables" else ""))
    else:
        print(columns_text(rows, cut=sys.stdout.isatty()))


def columns_text(rows: Sequence[dict[str, str]], *, cut: bool) -> str:
    """Rows as aligned columns under a header; on request the last column is cut to the terminal's width."""
    names = list(rows[0])
    widths = [max(len(n), *(len(r[n]) for r in rows)) for n in names]
    total = max(80, shutil.get_terminal_size((100, 24)).columns)
    room = total - sum(widths[:-1]) - 2 * (len(names) - 1)
    lines = []
    for row in ({n: n.upper() for n in names}, *rows):
        last = row[names[-1]]
        cells = [row[n].ljust(w) for n, w in zip(names[:-1], widths[:-1], strict=True)]
        cells.append(last if not cut or len(last) <= room or room < 20 else last[: room - 1] + "…")
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _list_spaces() -> list[dict[str, str]]:
    from nasbench_mo.space import SPACES, space

    def row(name: str) -> dict[str, str]:
        s = space(name)
        return {
            "space": s.name,
            "architectures": f"{s.size:,}" if s.size < 10**9 else f"{s.size:.2e}",
            "variables": str(s.n_variables),
            "about": _summary(type(s)),
        }

    return list(SPACES.each(row))


def _list_problems() -> list[dict[str, str]]:
    from nasbench_mo.benchmark import problem_spec
    from nasbench_mo.benchmark.catalogue import CATALOGUE, PLUGINS

    def row(name: str) -> dict[str, str]:
        spec = problem_spec(name)
        return {
            "problem": spec.id,
            "ready": "needs import" if spec.missing() else "yes",
            "minimises": ", ".join(t.objective.column for t in spec.terms),
            "about": spec.description,
        }

    return [*map(row, CATALOGUE), *PLUGINS.each(row, without=CATALOGUE)]


def _list_predictors() -> list[dict[str, str]]:
    from nasbench_mo.predictor import describe_predictor

    def row(name: str) -> dict[str, str]:
        p = describe_predictor(name)
        return {"predictor": p.id, "space": p.space, "predicts": p.objective.describe()}

    return [*map(row, artifacts.available("predictors")), *artifacts.each_plugged("predictors", row)]


def _list_tables() -> list[dict[str, str]]:
    from nasbench_mo.sources import load_table

    def row(kind: artifacts.Kind, name: str, where: str) -> dict[str, str]:
        try:
            card = artifacts.read_card(artifacts.resolve(kind, name))
        except ArtifactError as error:  # one damaged card must not hide the others
            card = {"source": f"damaged: {error}"}
        return {
            "table": name,
            "where": where,
            "space": str(card.get("space", "")),
            "about": str(card.get("source") or card.get("what", "")),
        }

    def plugged_row(name: str) -> dict[str, str]:
        load_table(name)  # one that cannot be opened is not listed
        return row("hw_tables", name, "plug-in")

    return [
        *(row("hw_tables", name, "embedded") for name in artifacts.available("hw_tables")),
        *artifacts.each_plugged("hw_tables", plugged_row),
        *(row("tables", name, "imported") for name in artifacts.available("tables")),
    ]


def _list_searchers() -> list[dict[str, str]]:
    from nasbench_mo.search import SEARCHERS

    return list(SEARCHERS.each(lambda name: {"searcher": name, "about": _summary(SEARCHERS.get(name))}))


def _summary(what: Any) -> str:
    """First line of a docstring."""
    return (what.__doc__ or "").strip().partition("\n")[0]


def _list_boards() -> list[dict[str, str]]:
    from nasbench_mo.cli.boards import board_rows

    return board_rows()


def _list_sources() -> list[dict[str, str]]:
    from nasbench_mo.sources import SOURCES
    from nasbench_mo.sources.fetch import FETCHABLE

    def row(name: str) -> dict[str, str]:
        SOURCES.get(name)  # a plug-in that cannot be imported is not listed
        return {"source": name, "use": f"nasbench-mo import {name} PATH"}

    rows = list(SOURCES.each(row))
    rows += [{"source": entry.id, "use": f"nasbench-mo fetch {entry.id}"} for entry in FETCHABLE.values()]
    return rows


def _list_devices() -> list[dict[str, str]]:
    from nasbench_mo.benchmark.devices import device_rows

    return [
        {
            "DEVICE": row.device,
            "CLASS": row.device_class,
            "SPACE": row.space,
            "OBJECTIVE": f"{row.objective}, {row.unit}",
            "KIND": row.kind,
            "ENERGY": row.energy,
            "ARTEFACT": row.artefact,
        }
        for row in device_rows(plugins=True)
    ]


_LISTS: dict[str, Callable[[], list[dict[str, str]]]] = {
    "spaces": _list_spaces,
    "problems": _list_problems,
    "predictors": _list_predictors,
    "tables": _list_tables,
    "searchers": _list_searchers,
    "boards": _list_boards,
    "sources": _list_sources,
    "devices": _list_devices,
}


# ---------------------------------------------------------------------- show


def print_one(identifier: str, *, as_json: bool) -> None:
    """Print what an id stands for.

    Raises
    ------
    UnknownNameError
        Nothing has this id.
    """
    for find in (_show_problem, _show_artifact, _show_board, _show_space, _show_searcher, _show_source):
        found = find(identifier)
        if found is not None:
            if as_json:
                print_json(found)
            else:
                print(found["text"] if "text" in found else _facts_text(found))
            return
    known = [
        r[next(iter(r))]
        for kind in ("problems", "spaces", "searchers", "predictors", "tables", "boards")
        for r in _LISTS[kind]()
    ]
    raise UnknownNameError(f"nothing is called {identifier!r}.{did_you_mean(identifier, known)} See 'nasbench-mo list'")


def _facts_text(facts: dict[str, Any], *, indent: int = 0) -> str:
    lines = []
    for key, value in facts.items():
        if isinstance(value, dict):
            lines += [f"{' ' * indent}{key}:", _facts_text(value, indent=indent + 2)]
        else:
            lines.append(f"{' ' * indent}{key}: {value}")
    return "\n".join(lines)


def _show_problem(identifier: str) -> dict[str, Any] | None:
    from nasbench_mo.benchmark import problem, problem_names, problem_spec, published_manifest

    if identifier not in problem_names():
        return None
    spec = problem_spec(identifier)
    published = published_manifest(identifier)
    facts: dict[str, Any] = {
        "problem": spec.id,
        "about": spec.description,
        "space": spec.space,
        "objectives (minimised)": {t.objective.column: t.objective.describe() for t in spec.terms},
        **({"subject to": " and ".join(spec.constraints)} if spec.constraints else {}),
        "ready": f"no: import {', '.join(spec.missing())} first" if spec.missing() else "yes",
    }
    if not spec.missing():
        found = problem(identifier)
        known = [found.objectives[j].column for j in found.known_objectives()]
        facts["known to a searcher beforehand"] = ", ".join(known) or "nothing"
        if found.fidelities:
            facts["epochs"] = ", ".join(map(str, found.fidelities))
    if published is not None:
        facts["HV*"] = "of the exact front"
        if published.hv_reference is not None:
            version = published.hv_reference.version
            facts["HV*"] = f"of the best front known (version {version}), so shares of it above 1 are possible"
        facts["manifest"] = dataclasses.asdict(published)
    return facts


def _show_artifact(identifier: str) -> dict[str, Any] | None:
    kinds: tuple[artifacts.Kind, ...] = ("predictors", "hw_tables", "tables")
    for kind in kinds:
        folder = artifacts.find(kind, identifier)
        if folder is not None:
            return {**artifacts.read_card(folder), "text": (folder / "card.md").read_text(encoding="utf-8").rstrip()}
    return None


def _show_board(identifier: str) -> dict[str, Any] | None:
    if artifacts.find("leaderboards", identifier) is None:
        return None
    from nasbench_mo.cli.boards import board_facts

    return board_facts(identifier)


def _show_space(identifier: str) -> dict[str, Any] | None:
    from nasbench_mo.space import SPACES, space

    if identifier not in SPACES:
        return None
    found = space(identifier)
    return {
        "space": found.name,
        "about": " ".join((type(found).__doc__ or "").split()),
        "architectures": found.size,
        "encoding_version": found.encoding_version,
        "variables": {v.name: " ".join(v.values) for v in found.variables},
    }


def _show_source(identifier: str) -> dict[str, Any] | None:
    import inspect

    from nasbench_mo.sources import SOURCES
    from nasbench_mo.sources.fetch import FETCHABLE

    if identifier not in SOURCES:
        if identifier not in FETCHABLE:
            return None
        entry = FETCHABLE[identifier]
        return {"source": identifier, "file": entry.file_name, "licence": entry.licence, "how": entry.instructions}
    module = inspect.getmodule(SOURCES.get(identifier))
    return {"source": identifier, "text": inspect.cleandoc((module and module.__doc__) or "")}


def _show_searcher(identifier: str) -> dict[str, Any] | None:
    import inspect

    from nasbench_mo.search import SEARCHERS

    if identifier not in SEARCHERS:
        return None
    made_by = SEARCHERS.get(identifier)
    return {"searcher": identifier, "text": inspect.cleandoc(made_by.__doc__ or "")}


# ---------------------------------------------------------------------- query and predict


def print_query(source: str, archs: list[str], *, as_json: bool) -> None:
    """Print the values of architectures from a problem or straight from a table."""
    from nasbench_mo.benchmark import problem_names

    rows = _query_problem(source, archs) if source in problem_names() else _query_table(source, archs)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(row["arch"] + ("   (degenerate: no input-output path)" if row.get("degenerate") else ""))
        for group in ("objectives", "published"):
            if row.get(group):
                print(f"  {_GROUPS[group]}")
            for column, cell in row.get(group, {}).items():
                print(f"    {column:42} {_number(cell['value']):>12}  {cell['meaning']}")


_GROUPS = {"objectives": "objectives, minimised:", "published": "published values:"}


def _number(value: float | None) -> str:
    return "missing" if value is None else f"{value:.6g}"


def _cell(value: float, objective: Objective) -> dict[str, Any]:
    known = value == value  # NaN marks a missing value
    return {"value": float(value) if known else None, **objective.to_dict(), "meaning": objective.describe()}


def _query_problem(identifier: str, archs: list[str]) -> list[dict[str, Any]]:
    from nasbench_mo.benchmark import TableValues, problem

    opened = problem(identifier)
    X = opened.space.encode(archs)
    F = opened.evaluate(X)
    degenerate = opened.space.degenerate(X)
    rows = []
    for i, arch in enumerate(archs):
        row: dict[str, Any] = {
            "problem": opened.id,
            "arch": arch,
            "degenerate": bool(degenerate[i]),
            "objectives": {o.column: _cell(F[i, j], o) for j, o in enumerate(opened.objectives)},
            "published": {},
        }
        for term in opened.terms:
            if isinstance(term.values, TableValues):
                columns = [term.values.column, *term.values.seed_columns]
                columns += [term.values.test_column] if term.values.test_column else []
                row["published"] |= _table_cells(term.values.table, arch, columns=columns)
        rows.append(row)
    return rows


def _query_table(identifier: str, archs: list[str]) -> list[dict[str, Any]]:
    from nasbench_mo.sources import load_table

    try:
        table = load_table(identifier)
    except UnknownNameError as error:
        from nasbench_mo.benchmark import problem_names

        hint = did_you_mean(identifier, problem_names())
        raise UnknownNameError(f"no problem or table is called {identifier!r}.{hint} See 'nasbench-mo list'") from error
    return [
        {"table": table.id, "arch": a, "published": _table_cells(identifier, a, columns=list(table.columns))}
        for a in archs
    ]


def _table_cells(identifier: str, arch: str, *, columns: Sequence[str]) -> dict[str, Any]:
    from nasbench_mo.sources import load_table

    table = load_table(identifier)
    values = table.matrix(columns)[table.row(arch)]
    return {c: _cell(values[j], table.objectives[c]) for j, c in enumerate(columns)}


def print_prediction(
    identifier: str, archs: list[str], *, inputs: Sequence[str], inputs_from: str | None, as_json: bool
) -> None:
    """Print predictions with their standard deviations."""
    from nasbench_mo.predictor import load_predictor

    model = load_predictor(identifier)
    if model.inputs and not inputs and inputs_from is None:
        columns = ", ".join(one.column for one in model.inputs)
        raise SpecError(
            f"predictor {identifier!r} needs measured inputs: give --input COLUMN=V,V,... with one value an "
            f"architecture, or --inputs-from TABLE; columns: {columns}"
        )
    value, deviation = model.predict(archs, return_std=True, inputs=_measured_inputs(inputs, table=inputs_from))
    if as_json:
        print_json(
            [
                {"arch": a, "value": float(v), "std": float(d), "objective": model.objective.to_dict()}
                for a, v, d in zip(archs, value, deviation, strict=True)
            ]
        )
        return
    print(f"{model.objective.column}: {model.objective.describe()}")
    for arch, v, d in zip(archs, value, deviation, strict=True):
        print(f"  {v:10.4g} +- {d:.2g}  {arch}")


def _measured_inputs(given: Sequence[str], *, table: str | None) -> InputValues | None:
    """Inputs from ``COLUMN=V,V,...`` or from an imported table; None for neither."""
    if given and table is not None:
        raise SpecError("give --input or --inputs-from, not both")
    if table is not None:
        from nasbench_mo.sources import load_table

        return load_table(table)
    values = {}
    for text in given:
        column, equals, numbers = text.partition("=")
        try:
            values[column] = [float(number) for number in numbers.split(",")]
        except ValueError:
            equals = ""
        if not equals:
            raise SpecError(f"--input {text!r}: expected COLUMN=V,V,... with one number an architecture")
    return values or None


def relative(path: Path) -> str:
    """A path as the user would write it: relative where it lies below the current folder."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
