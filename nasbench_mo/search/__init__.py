"""Searchers behind ask/tell, one file each. This floor never imports a benchmark."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

from nasbench_mo.errors import SearcherError, did_you_mean
from nasbench_mo.registry import Registry
from nasbench_mo.search.base import Searcher
from nasbench_mo.space import SearchSpace

SEARCHERS = Registry(
    "searcher",
    builtins={
        "random": "nasbench_mo.search.random:RandomSearcher",
        "quasi-random": "nasbench_mo.search.quasi_random:QuasiRandomSearcher",
        "local-search": "nasbench_mo.search.local_search:LocalSearchSearcher",
        "regularized-evolution": "nasbench_mo.search.regularized_evolution:RegularizedEvolutionSearcher",
        "lemonade": "nasbench_mo.search.lemonade:LemonadeSearcher",
        "nsga2": "nasbench_mo.search.nsga2:NSGA2Searcher",
        "r-nsga2": "nasbench_mo.search.r_nsga2:RNSGA2Searcher",
        "nsga3": "nasbench_mo.search.nsga3:NSGA3Searcher",
        "moead": "nasbench_mo.search.moead:MOEADSearcher",
        "sms-emoa": "nasbench_mo.search.sms_emoa:SMSEMOASearcher",
        "age-moea2": "nasbench_mo.search.age_moea2:AGEMOEA2Searcher",
        "rvea": "nasbench_mo.search.rvea:RVEASearcher",
        "lamoo": "nasbench_mo.search.lamoo:LaMOOSearcher",
        "reinforce": "nasbench_mo.search.reinforce:ReinforceSearcher",
        "q-learning": "nasbench_mo.search.q_learning:QLearningSearcher",
        "fractal": "nasbench_mo.search.fractal:FractalSearcher",
        "tpe": "nasbench_mo.search.tpe:TPESearcher",
        "parego": "nasbench_mo.search.parego:ParEGOSearcher",
        "qlognehvi": "nasbench_mo.search.qlognehvi:QLogNEHVISearcher",
        "smac-forest": "nasbench_mo.search.smac_forest:SMACForestSearcher",
        "mo-bananas": "nasbench_mo.search.mo_bananas:MOBananasSearcher",
        "default": "nasbench_mo.search.default:DefaultSearcher",
        "mo-asha": "nasbench_mo.search.mo_asha:MOASHASearcher",
        "successive-halving": "nasbench_mo.search.successive_halving:SuccessiveHalvingSearcher",
        "mo-hyperband": "nasbench_mo.search.mo_hyperband:MOHyperbandSearcher",
        "pbt": "nasbench_mo.search.pbt:PBTSearcher",
    },
    group="nasbench_mo.searchers",
)


def searcher(
    name: str, space: SearchSpace, n_objectives: int, *, seed: int = 0, **options: float | int | str
) -> Searcher:
    """Make a searcher by name.

    Parameters
    ----------
    name
        A registered name; ``nasbench-mo list searchers`` prints them.
    space, n_objectives
        What it searches, and how many minimised objectives it will be told.
    seed
        Seed of all its randomness.
    **options
        The searcher's own settings.

    Raises
    ------
    UnknownNameError
        No searcher has this name.
    SearcherError
        It has no such option, or refuses its value.

    Examples
    --------
    >>> from nasbench_mo.space import space
    >>> searcher("random", space("nb201"), 2, seed=0).ask(3).shape
    (3, 6)
    """
    if not isinstance(space, SearchSpace):
        raise SearcherError(f"searcher {name!r}: expected a search space, got {space!r}; use nmo.space(...)")
    made_by = SEARCHERS.get(name)
    _check_options(name, options, made_by=made_by)
    try:
        made: Searcher = made_by(space, n_objectives, seed=seed, **options)
    except TypeError as error:
        raise SearcherError(f"searcher {name!r}: {error}") from error
    return made


def _check_options(name: str, options: Iterable[str], *, made_by: Callable[..., Searcher]) -> None:
    parameters = list(inspect.signature(made_by).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "seed"]
    for option in options:
        if option not in known:
            raise SearcherError(
                f"searcher {name!r} has {'the options ' + ', '.join(known) if known else 'no options'}; "
                f"got {option!r}.{did_you_mean(option, known)}"
            )


__all__ = ["SEARCHERS", "Searcher", "searcher"]
