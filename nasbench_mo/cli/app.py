"""Commands and their arguments. What they print is made in the other files of this folder."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nasbench_mo.cli import reading
from nasbench_mo.errors import SpecError

app = typer.Typer(
    name="nasbench-mo",
    help="Multi-objective neural architecture search: benchmarks, predictors, hardware costs, searchers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
predictor_app = typer.Typer(help="Train and judge predictors.", no_args_is_help=True, rich_markup_mode=None)
table_app = typer.Typer(
    help="Build measured tables and tables of hardware costs.", no_args_is_help=True, rich_markup_mode=None
)
experiment_app = typer.Typer(
    help="Compare searchers: many runs, and their figures.", no_args_is_help=True, rich_markup_mode=None
)
board_app = typer.Typer(
    help="Boards: searchers compared on fixed problems.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(predictor_app, name="predictor")
app.add_typer(table_app, name="table")
app.add_typer(board_app, name="board")
app.add_typer(experiment_app, name="experiment")


class Listed(StrEnum):
    """What ``list`` can list."""

    spaces = "spaces"
    problems = "problems"
    predictors = "predictors"
    tables = "tables"
    searchers = "searchers"
    boards = "boards"
    sources = "sources"
    devices = "devices"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Board = Annotated[str, typer.Argument(metavar="BOARD", help="Board id, see 'nasbench-mo list boards', or its folder.")]
Problem = Annotated[str, typer.Argument(help="Problem id, see 'nasbench-mo list problems'.")]


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Print the version, or leave the work to a command."""
    if version:
        from importlib.metadata import version as installed

        print(installed("nasbench-mo"))
        raise typer.Exit


@app.command()
def versions(as_json: Json = False) -> None:
    """Print versions, machine and cache folder, for a bug report."""
    from nasbench_mo.versions import show_versions
    from nasbench_mo.versions import versions as found

    if as_json:
        reading.print_json(found().to_dict())
    else:
        show_versions()


@app.command("list")
def list_(kind: Annotated[Listed, typer.Argument(help="What to list.")], as_json: Json = False) -> None:
    """List what there is of a kind, one row each."""
    reading.print_list(kind.value, as_json=as_json)


@app.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Any id that 'list' prints.")], as_json: Json = False
) -> None:
    """Say what something is: any id that 'list' prints."""
    reading.print_one(identifier, as_json=as_json)


@app.command()
def query(
    source: Annotated[str, typer.Argument(metavar="PROBLEM", help="Problem or table id.")],
    archs: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Architectures in their published form.")],
    as_json: Json = False,
) -> None:
    """Print the values of architectures. Each has its unit, split and seed."""
    reading.print_query(source, archs, as_json=as_json)


@app.command()
def predict(
    predictor: Annotated[str, typer.Argument(help="Predictor id, see 'nasbench-mo list predictors'.")],
    archs: Annotated[list[str], typer.Argument(metavar="ARCH...", help="Architectures in their published form.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="COLUMN=V,V,...", help="A measured input, one value an architecture."),
    ] = None,
    inputs_from: Annotated[
        str | None, typer.Option(metavar="TABLE", help="Id of an imported table with the measured inputs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict an objective of architectures. Its standard deviation comes with it."""
    reading.print_prediction(predictor, archs, inputs=inputs or [], inputs_from=inputs_from, as_json=as_json)


@app.command()
def search(
    problem: Problem,
    searcher: Annotated[str, typer.Option(help="Searcher, see 'nasbench-mo list searchers'.")] = "nsga2",
    budget: Annotated[
        int | None,
        typer.Option(
            help="Distinct architectures to evaluate; shorter trainings count as their share.",
            show_default="300, or no limit where another budget is given",
            min=1,
        ),
    ] = None,
    budget_seconds: Annotated[float | None, typer.Option(help="Simulated training seconds to spend.")] = None,
    budget_joules: Annotated[float | None, typer.Option(help="Training energy to spend, in joules.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the searcher.", min=0)] = 0,
    noise_seed: Annotated[
        int | None,
        typer.Option(help="Seed that chooses the training runs that are seen.", show_default="the seed", min=0),
    ] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Setting of the searcher.")] = None,
    constraint: Annotated[
        list[str] | None, typer.Option(metavar="'COLUMN <= X'", help="Bound that architectures have to keep.")
    ] = None,
    prefer: Annotated[
        str | None, typer.Option(metavar="COLUMN=X,...", help="Preferred values, for searchers that can use them.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Run file to write.")] = Path("run.parquet"),
    html: Annotated[Path | None, typer.Option(help="Also write an interactive page.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing run file.")] = False,
    known: Annotated[
        bool, typer.Option("--known/--no-known", help="Let the searcher know objectives that cost nothing beforehand.")
    ] = True,
    fidelities: Annotated[
        bool, typer.Option("--fidelities/--no-fidelities", help="Let the searcher train for fewer epochs.")
    ] = True,
    workers: Annotated[int, typer.Option(help="Simulated workers, on a virtual clock.", min=1)] = 1,
    as_json: Json = False,
) -> None:
    """Search a problem for its Pareto front and write the run."""
    from nasbench_mo.cli import searching

    request = searching.SearchRequest(
        problem=problem,
        searcher=searcher,
        budget=300 if budget is None and budget_seconds is None and budget_joules is None else budget,
        seed=seed,
        noise_seed=noise_seed,
        options=_options(option or []),
        out=out,
        html=html,
        force=force,
        known=known,
        fidelities=fidelities,
        workers=workers,
        budget_seconds=budget_seconds,
        budget_joules=budget_joules,
        constraints=tuple(constraint or ()),
        prefer=_preference(prefer) if prefer is not None else {},
    )
    searching.search(request, as_json=as_json)


@app.command()
def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file of a search, run.parquet.")],
    as_json: Json = False,
) -> None:
    """Make a run again from its own file. Every row is compared, bit for bit.

    Exit code 0 if they are the same; 1 if not: the first row that differs is named, and every version that does;
    2 if the run cannot be made here, because its data, its searcher or a library are not at hand.
    """
    from nasbench_mo.cli import replaying

    if not replaying.replay_run(run, as_json=as_json):
        raise typer.Exit(1)


@app.command()
def validate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file of a search, run.parquet.")],
    dataset: Annotated[
        str,
        typer.Option(
            help="digits, gtsrb16, gtsrb16-all, gtsrb32-all, cifar10, openml:NAME, or the path of an NPZ file."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the report and of unfinished work.")],
    top: Annotated[int, typer.Option(help="Networks of the front.", min=1)] = 6,
    device: Annotated[
        str,
        typer.Option(
            help="torch device, cpu or cuda; or ssh://user@host:port, a device with onnxruntime that only measures."
        ),
    ] = "cpu",
    train_on: Annotated[
        str | None,
        typer.Option(metavar="DEVICE", help="torch device of the trainings.", show_default="--device, cpu with ssh"),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime's execution provider: cpu, cuda, tensorrt, openvino, coreml.",
            show_default="cpu; torch's graphs on cuda",
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="Of the measurements: fp32, int8 (calibrated on training images), fp16, bf16.")
    ] = "fp32",
    threads: Annotated[int, typer.Option(help="Threads of a measured run, kept on as many cores.", min=1)] = 1,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,FIELD=VALUE...]",
            help="short or nb201 (as NAS-Bench-201 was trained), and what is changed: "
            "nb201,epochs=12,n_cells=1,channels=8,n_train=5000,mixed_precision=true.",
            show_default="the image set's recipe",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(help="What trains: torch; or native, on a CPU three times as fast for small networks."),
    ] = "torch",
    append_to: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Native table that the measured rows are added to.")
    ] = None,
    controls: Annotated[
        int | None,
        typer.Option(help="Networks off the front, to compare with.", show_default="a third of --top", min=0),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs.", show_default="the image set's recipe", min=1)] = None,
    seeds: Annotated[str, typer.Option(metavar="S,S,...", help="Training seeds.")] = "0",
    processes: Annotated[int, typer.Option(help="Local processes, one thread each.", min=1)] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Dask scheduler's address, or YAML file of a cluster, instead of processes."
        ),
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the image files.")] = None,
    as_json: Json = False,
) -> None:
    """Train and profile part of a front for real. Says how wrong the predictions were.

    May be interrupted at any time; the same command goes on where it stopped.
    """
    from nasbench_mo.cli import validating

    request = validating.ValidateRequest(
        run=run,
        top=top,
        controls=controls,
        dataset=dataset,
        device=device,
        out=out,
        epochs=epochs,
        seeds=seeds,
        n_processes=processes,
        scheduler=cluster,
        images=images,
        train_on=train_on,
        provider=provider,
        precision=precision,
        threads=threads,
        recipe=recipe,
        engine=engine,
        append_to=append_to,
    )
    validating.validate(request, as_json=as_json)


@app.command("import")
def import_(
    source: Annotated[str, typer.Argument(help="Source, see 'nasbench-mo list sources'.")],
    path: Annotated[Path, typer.Argument(help="File or folder to read.")],
    spec: Annotated[Path | None, typer.Option(help="YAML specification, for the source 'columns'.")] = None,
    as_json: Json = False,
) -> None:
    """Read published files into native tables. Problems over them are checked against their manifests.

    'nasbench-mo show SOURCE' explains what a source reads; for 'columns' that is the whole specification.
    """
    from nasbench_mo.cli import importing

    importing.import_files(source, path, spec=spec, as_json=as_json)


@app.command()
def fetch(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Benchmark to download; 'list' prints the ids.")],
    as_json: Json = False,
) -> None:
    """Download and import a published benchmark. Says where to get it if it cannot be downloaded."""
    from nasbench_mo.cli import importing

    importing.fetch_files(identifier, as_json=as_json)


@app.command()
def demo(
    budget: Annotated[int, typer.Option(help="Distinct architectures to evaluate.", min=20)] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the searcher.", min=0)] = 0,
    folder: Annotated[Path, typer.Option(help="Where front.html and run.parquet go.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Replace a run.parquet that is not this demo's.")] = False,
) -> None:
    """Search an embedded problem and draw its front. CIFAR-10 error, latency on an ASIC and on an FPGA."""
    from nasbench_mo.benchmark import DEMO_PROBLEM
    from nasbench_mo.cli import searching

    request = searching.SearchRequest(
        problem=DEMO_PROBLEM,
        searcher="nsga2",
        budget=budget,
        seed=seed,
        noise_seed=None,
        options={},
        out=folder / "run.parquet",
        html=folder / "front.html",
        force=force,
    )
    searching.demo(request)


@app.command()
def manifest(
    problem: Problem,
    out: Annotated[Path | None, typer.Option(help="Folder to write <id>.json into.")] = None,
) -> None:
    """Compute a problem's manifest from the data at hand. Ideal, nadir, reference point, exact HV*.

    Where the space is too large for an exact front, the best front that long searches find stands in for it; that takes
    some minutes, and the architectures of the front are written beside the manifest.
    """
    from nasbench_mo.cli.manifests import make_manifest

    make_manifest(problem, out=out)


@predictor_app.command("train")
def predictor_train(
    spec: Annotated[Path, typer.Argument(help="spec.yaml of the predictor.")],
    root_folder: Annotated[Path, typer.Option("--out", help="Folder that gets <id>/.")] = Path("predictors"),
) -> None:
    """Train a predictor on a table and store it with its card."""
    from nasbench_mo.predictor.training import TrainingSpec, train

    command = f"nasbench-mo predictor train {spec}"
    made = train(TrainingSpec.read(spec), root=root_folder, command=command, spec_file=spec)
    print(f"wrote {root_folder / made.id}; the held-out figures are on its card.md")


@predictor_app.command("figures")
def predictor_figures(
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; printed otherwise.")] = None,
    json: Json = False,
) -> None:
    """Print how good every installed predictor is. A Markdown table of held-out figures."""
    from nasbench_mo.cli import predictors

    predictors.figures(out=out, as_json=json)


@predictor_app.command("evaluate")
def predictor_evaluate(
    spec: Annotated[Path, typer.Argument(help="YAML file of the protocol, see predictors/protocols.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; printed otherwise.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Image of tau against training size to write.")] = None,
    json: Json = False,
) -> None:
    """Judge predictors on topologies they have not seen. Against training size, published figures beside."""
    from nasbench_mo.cli import predictors

    predictors.evaluate(spec, out=out, plot=plot, as_json=json)


@predictor_app.command("export")
def predictor_export(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Predictor id, see 'nasbench-mo list predictors'.")],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="ONNX file to write.")],
    json: Json = False,
) -> None:
    """Write a predictor as an ONNX graph. Refused where it would not predict the same value and deviation."""
    from nasbench_mo.cli import predictors

    predictors.export(identifier, path, as_json=json)


@table_app.command("build")
def table_build(
    spec: Annotated[str, typer.Argument(help="spec.yaml of the table, or the name of an embedded table.")],
    root_folder: Annotated[Path, typer.Option("--out", help="Folder that gets <id>/.")] = Path("hw_tables"),
    work: Annotated[
        Path | None, typer.Option(help="Folder of unfinished work; by default <out>/unfinished/<id>.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the image files.")] = None,
    processes: Annotated[int, typer.Option(help="Local processes, one thread each.", min=1)] = 1,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, instead of processes.")] = None,
    device: Annotated[str, typer.Option(help="torch device; 'cuda' trains many networks at once.")] = "cpu",
    at_most: Annotated[int | None, typer.Option(help="Stop after so many trainings, to go on later.", min=1)] = None,
) -> None:
    """Make a table from its specification, and store it with its card.

    A table of operator costs is fitted at once. A measured table trains every network: hours, which may be interrupted
    at any time; the same command goes on where it stopped.
    """
    from nasbench_mo.cli import tables

    request = tables.BuildRequest(
        spec=spec,
        out=root_folder,
        work=work,
        images=images,
        n_processes=processes,
        scheduler=scheduler,
        device=device,
        at_most=at_most,
    )
    tables.build(request)


@table_app.command("devices")
def table_devices(
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; printed otherwise.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Picture to write: the fronts on a device of each class.")] = None,
) -> None:
    """Print every device as a Markdown table. Class, kind, unit, precision, batch, runtime, noise, source."""
    from nasbench_mo.cli import tables

    tables.devices(out=out, plot=plot)


@table_app.command("verify")
def table_verify(
    table: Annotated[str, typer.Argument(help="Id, or folder, of a table made by 'table build'.")],
    rows: Annotated[int, typer.Option(help="Rows to train again, some seconds each.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Draws the rows.", min=0)] = 0,
    images: Annotated[Path | None, typer.Option(help="Folder of the image files.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="What trains, 'native' or 'torch'; by default what trained the table.")
    ] = None,
    other_images: Annotated[
        bool, typer.Option("--other-images", help="With images that differ a little: scaled by another program, say.")
    ] = False,
    json: Json = False,
) -> None:
    """Train random rows of a measured table again. Equal to the bit, or within the card's tolerance."""
    from nasbench_mo.cli import tables

    tables.verify(table, rows=rows, seed=seed, images=images, engine=engine, other_images=other_images, as_json=json)


@board_app.command("run")
def board_run(
    board: Board,
    searcher: Annotated[str, typer.Option(help="Searcher, see 'nasbench-mo list searchers'.")],
    name: Annotated[str | None, typer.Option(help="Name of the entry.", show_default="the searcher")] = None,
    option: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Setting of the searcher.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Some of the board's seeds only: 0-30, or 0,1,5-8.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder that gets <name>/.", show_default="the board's own")] = None,
    author: Annotated[str, typer.Option(help="Who submits.")] = "The nasbench-mo developers",
    processes: Annotated[int, typer.Option(help="Local processes.", min=1)] = 1,
    known: Annotated[
        bool, typer.Option("--known/--no-known", help="Let the searcher know objectives that cost nothing beforehand.")
    ] = True,
) -> None:
    """Run a searcher on a board and write its submission.

    What was run is kept in <out>/unfinished until then, and the same command goes on where it stopped.
    """
    from nasbench_mo.cli import boards

    request = boards.BoardRunRequest(
        board=board,
        searcher=searcher,
        name=name,
        options=_options(option or []),
        seeds=seeds,
        out=out,
        author=author,
        n_processes=processes,
        known=known,
    )
    boards.run_board(request)


@board_app.command("check")
def board_check(
    board: Board,
    submission: Annotated[Path | None, typer.Argument(help="Folder of one; else all the board has.")] = None,
    again: Annotated[
        int, typer.Option(help="Runs of each entry to make again, if this package has its searcher.", min=0)
    ] = 0,
    as_json: Json = False,
) -> None:
    """Check submissions: every evaluation is asked for again. The first row that is wrong is named."""
    from nasbench_mo.cli import boards

    boards.check_board(board, submission=submission, again=again, as_json=as_json)


@board_app.command("rank")
def board_rank(
    board: Board,
    extra: Annotated[
        list[Path] | None, typer.Option("--with", metavar="FOLDER", help="A submission that is not on the board.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="CSV file of the standings to write.")] = None,
    as_json: Json = False,
) -> None:
    """Check a board's submissions and rank them."""
    from nasbench_mo.cli import boards

    boards.rank_board(board, extra=extra or [], out=out, as_json=as_json)


@experiment_app.command("run")
def experiment_run(
    problems: Annotated[str, typer.Option(help="Ids of problems, with commas between.")],
    searchers: Annotated[str, typer.Option(help="Names of searchers, with commas between.")],
    out: Annotated[Path, typer.Option(help="Folder of the runs: <problem>/<searcher>/<seed>.parquet.")],
    seeds: Annotated[str, typer.Option(help="Seeds: 0-30, or 0,1,5-8.")] = "0-30",
    budget: Annotated[int, typer.Option(help="Distinct architectures to evaluate in each run.", min=1)] = 300,
    processes: Annotated[int, typer.Option(help="Local processes.", min=1)] = 1,
    cluster: Annotated[
        str | None, typer.Option(help="Dask scheduler's address, or YAML file of a cluster, instead of processes.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="SEARCHER.NAME=VALUE", help="Setting of a searcher.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Tell the strict box to searchers that can use it, and judge by it.")
    ] = False,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Show searchers one training seed, or the judged values.")
    ] = True,
    known: Annotated[
        bool, typer.Option("--known/--no-known", help="Let searchers know objectives that cost nothing beforehand.")
    ] = True,
    figures: Annotated[Path | None, typer.Option(help="Markdown file for the figures of the folder's runs.")] = None,
    as_json: Json = False,
) -> None:
    """Run every problem with every searcher and seed. What the folder holds already is not run again.

    It may be interrupted or killed at any time; the same command goes on where it stopped.
    """
    from nasbench_mo.cli import experimenting

    request = experimenting.ExperimentRequest(
        problems=problems,
        searchers=searchers,
        seeds=seeds,
        budget=budget,
        out=out,
        processes=processes,
        cluster=cluster,
        options=_options_by_searcher(option or []),
        strict=strict,
        noise=noise,
        known=known,
    )
    experimenting.run(request, figures_to=figures, command=_command(), as_json=as_json)


@experiment_app.command("figures")
def experiment_figures(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that 'experiment run' filled.")],
    out: Annotated[Path | None, typer.Option(help="Markdown file to write; printed otherwise.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Judge by the strict box.")] = False,
    as_json: Json = False,
) -> None:
    """Print how soon searchers find the front. Evaluations to shares of HV*, shares after some evaluations."""
    from nasbench_mo.cli import experimenting

    experimenting.figures(folder, out=out, strict=strict, command=_command(), as_json=as_json)


def _command() -> str:
    """The command line as it was given."""
    import shlex
    import sys

    return shlex.join(["nasbench-mo", *sys.argv[1:]])


@board_app.command("render")
def board_render(
    boards: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BOARD]...", help="Ids or folders; all boards and their index if none."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that gets <id>/.", show_default="leaderboards")
    ] = None,
) -> None:
    """Check and rank boards and write them as pages. Each is an interactive index.html and a README.md."""
    from nasbench_mo.cli import board_page

    board_page.render(boards or [], out=out)


def _options(texts: list[str]) -> dict[str, float | int | str]:
    """Parse NAME=VALUE settings; a value that reads as a number is one."""
    options: dict[str, float | int | str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise SpecError(f"--option expects NAME=VALUE; got {text!r}")
        key = name.replace("-", "_")
        if key in ("name", "space", "n_objectives", "seed"):
            raise SpecError(f"--option {text}: {key!r} is not an option of a searcher; the seed is --seed")
        options[key] = _number(value)
    return options


def _options_by_searcher(texts: list[str]) -> dict[str, dict[str, float | int | str]]:
    """Parse SEARCHER.NAME=VALUE settings."""
    grouped: dict[str, list[str]] = {}
    for text in texts:
        searcher, dot, setting = text.partition(".")
        if not dot or "=" in searcher:
            raise SpecError(f"--option expects SEARCHER.NAME=VALUE; got {text!r}")
        grouped.setdefault(searcher, []).append(setting)
    return {searcher: _options(settings) for searcher, settings in grouped.items()}


def _preference(text: str) -> dict[str, float]:
    """Parse COLUMN=X,COLUMN=X."""
    point: dict[str, float] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        number = _number(value.strip())
        if isinstance(number, str) or not name.strip() or name.strip() in point:
            raise SpecError(f"--prefer expects COLUMN=NUMBER with commas between, each column once; got {text!r}")
        point[name.strip()] = float(number)
    return point


def _number(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
