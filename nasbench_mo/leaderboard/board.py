"""A board: which problems, how many evaluations, which seeds, and what is computed from the runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from nasbench_mo import artifacts
from nasbench_mo.benchmark import Problem
from nasbench_mo.benchmark import problem as open_problem
from nasbench_mo.errors import SpecError, UnknownNameError, did_you_mean
from nasbench_mo.leaderboard.reading import read_small_yaml
from nasbench_mo.specification import is_integer, scalars_of, text_of, word_of

FORMAT_VERSION = 1
#: Rules that this version applies, and what they say. A board names the ones it was published under.
RULES = {
    "1": (
        "The budget counts distinct architectures; a run has at most so many rows and no architecture twice. Every "
        "problem is run with every seed. The searcher's seed and the noise seed are the run's seed. A searcher may "
        "know the problem's objectives that cost nothing, never another value beforehand and never a test value. "
        "Every value is asked for again; scores come from the answers, not from the submission."
    ),
    "2": (
        "The budget counts distinct architectures; a run has at most so many rows and no architecture twice. Every "
        "problem is run with every seed. The searcher's seed and the noise seed are the run's seed. A searcher may "
        "know the problem's objectives that cost nothing, never another value beforehand and never a test value. "
        "Every value is asked for again; scores come from the answers, not from the submission. Every evaluation is a "
        "full training, and evaluations come one after the other: a value after fewer epochs is neither paid nor "
        "submitted, so a searcher that lives on them is not entered, as the board could say nothing of it. HV* is that "
        "of the exact front, or, where a problem says so, of the best front known when it was published; it stays "
        "that, and shares of it above 100 % are possible."
    ),
}
INDICATORS = ("igd_plus", "epsilon", "test_hypervolume_share")
#: What a searcher sees of a problem with training noise: the observation whose noise seed is the run's seed.
NOISE = ("seed",)

MAX_PROBLEMS = 50
MAX_SEEDS = 1_000
MAX_BUDGET = 1_000_000

_FIELDS = ("format", "id", "title", "about", "rules", "problems", "budget", "seeds", "targets", "indicators", "noise")
_OPTIONAL = ("indicators",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """The rules of one comparison. Read from ``board.yaml``.

    Parameters
    ----------
    id, title, about
        Identity with version, and what it is for.
    rules
        Version of the rules, a key of :data:`RULES`.
    problems
        Ids, in the board's order.
    budget
        Most evaluations of a run.
    seeds
        Number of seeds: a submission has the seeds 0 to ``seeds - 1`` on every problem.
    targets
        Shares of HV* that are targets, ascending, in (0, 1].
    indicators
        What is computed besides the hypervolume, of :data:`INDICATORS`.
    noise
        Noise protocol, of :data:`NOISE`.
    folder
        Where it was read from, or None.
    given
        Problems that are not in the catalogue, by id, for boards of one's own.

    Raises
    ------
    SpecError
        A number is out of range, a list is empty, repeats itself or has an unknown name.
    """

    id: str
    title: str
    about: str
    problems: tuple[str, ...]
    budget: int
    seeds: int
    targets: tuple[float, ...] = (0.9, 0.95, 0.99, 0.999, 1.0)
    indicators: tuple[str, ...] = INDICATORS
    rules: str = "1"
    noise: str = "seed"
    folder: Path | None = None
    given: Mapping[str, Problem] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._check_count("budget", self.budget, most=MAX_BUDGET)
        self._check_count("seeds", self.seeds, most=MAX_SEEDS)
        word_of(self.rules, place=f"board {self.id!r}: rules", allowed=tuple(RULES))
        word_of(self.noise, place=f"board {self.id!r}: noise", allowed=NOISE)
        for indicator in self.indicators:
            word_of(indicator, place=f"board {self.id!r}: indicators", allowed=INDICATORS)
        if not 1 <= len(self.problems) <= MAX_PROBLEMS:
            raise SpecError(f"board {self.id!r}: expected 1 to {MAX_PROBLEMS} problems, got {len(self.problems)}")
        for name, values in (("problems", self.problems), ("indicators", self.indicators)):
            twice = [v for i, v in enumerate(values) if v in values[:i]]
            if twice:
                raise SpecError(f"board {self.id!r}: {name} has {twice[0]!r} twice; keep one")
        ascending = list(self.targets) == sorted(set(self.targets))
        if not self.targets or not ascending or not 0.0 < self.targets[0] <= self.targets[-1] <= 1.0:
            raise SpecError(
                f"board {self.id!r}: targets are ascending shares of HV* in (0, 1]; got {list(self.targets)}"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``board.yaml``, or the folder that holds one.

        Raises
        ------
        SpecError
            The file is not a board, or does not carry its folder's name.
        """
        file = path / "board.yaml" if path.is_dir() else path
        required = [f for f in _FIELDS if f not in _OPTIONAL]
        fields = read_small_yaml(file, allowed=_FIELDS, required=required)
        if fields["format"] != FORMAT_VERSION:
            raise SpecError(f"{file.name}: expected format {FORMAT_VERSION}, got {fields['format']!r}")
        made = cls(
            id=text_of(fields["id"], place=f"{file.name}: id"),
            title=text_of(fields["title"], place=f"{file.name}: title"),
            about=" ".join(text_of(fields["about"], place=f"{file.name}: about").split()),
            rules=str(fields["rules"]),
            problems=_texts(fields["problems"], place=f"{file.name}: problems"),
            budget=fields["budget"],
            seeds=fields["seeds"],
            targets=_numbers(fields["targets"], place=f"{file.name}: targets"),
            indicators=_texts(fields["indicators"], place=f"{file.name}: indicators") if "indicators" in fields else (),
            noise=text_of(fields["noise"], place=f"{file.name}: noise"),
            folder=file.parent,
        )
        if made.id != file.resolve().parent.name:
            raise SpecError(f"{file}: the board is called {made.id!r}; its folder must have that name")
        return made

    def problem(self, identifier: str) -> Problem:
        """One of the board's problems, opened.

        Raises
        ------
        UnknownNameError
            It is not one of the board's.
        SpecError
            The data at hand are not the published ones, or nothing says what its best hypervolume is.
        """
        if identifier not in self.problems:
            raise UnknownNameError(
                f"board {self.id!r} has no problem {identifier!r}.{did_you_mean(identifier, self.problems)}"
            )
        opened = self.given[identifier] if identifier in self.given else open_problem(identifier)
        if opened.id != identifier:
            raise SpecError(
                f"board {self.id!r}: the data of {identifier!r} at hand are not the published ones ({opened.id}); "
                "import the published files"
            )
        if not opened.has_manifest:
            raise SpecError(f"board {self.id!r}: {identifier!r} has no manifest, so no share of HV* to rank by")
        return opened

    def _check_count(self, name: str, value: object, *, most: int) -> None:
        if not is_integer(value) or not 1 <= int(str(value)) <= most:
            raise SpecError(f"board {self.id!r}: {name} must be an integer in 1..{most}, got {value!r}")


def load_board(identifier: str | Path) -> Board:
    """A board by id, or by the path of its folder or file.

    Raises
    ------
    UnknownNameError
        There is no such board; the closest ones are named.
    SpecError
        Its file is not a board.
    """
    path = Path(identifier)
    if path.is_file() or (path / "board.yaml").is_file():
        return Board.read(path)
    return Board.read(artifacts.resolve("leaderboards", str(identifier)))


def _texts(value: Any, *, place: str) -> tuple[str, ...]:
    return tuple(text_of(v, place=place) for v in scalars_of(value, place=place))


def _numbers(value: Any, *, place: str) -> tuple[float, ...]:
    values = scalars_of(value, place=place)
    for v in values:
        if isinstance(v, (bool, str)):
            raise SpecError(f"{place}: expected numbers, got {v!r}")
    return tuple(float(v) for v in values)
