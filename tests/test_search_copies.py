"""Copies of an architecture are evaluated where each is another draw, and left for last where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo.search.candidates import Candidates
from nasbench_mo.search.copies import Copies

NB: Any = nmo.space("nb201")
CLASSES = NB.equivalence_class(NB.enumerate())
#: A cell and 19 others that compute the same function.
ALIKE = NB.from_codes(np.flatnonzero(np.bincount(CLASSES)[CLASSES] >= 20)[:1])
TWINS = NB.from_codes(np.flatnonzero(CLASSES == NB.equivalence_class(ALIKE)[0])[:20])


def candidates(X: Any, *, known: Any = None) -> Candidates:
    return Candidates(X=X, Z=np.zeros((len(X), 1)), known=np.empty((len(X), 0)) if known is None else known)


def test_nothing_is_known_before_a_copy_was_seen() -> None:
    copies = Copies(NB, known=[])
    assert not copies.idle
    assert not copies.of_evaluated(candidates(TWINS)).any()
    copies.update(TWINS[:1], np.ones((1, 2)))
    assert not copies.idle
    assert copies.of_evaluated(candidates(TWINS)).all()
    others = NB.from_codes(np.flatnonzero(CLASSES != NB.equivalence_class(ALIKE)[0])[:5])
    assert not copies.of_evaluated(candidates(others)).any()


def test_the_same_candidates_asked_for_again_are_answered_by_what_was_told_since() -> None:
    copies, twins = Copies(NB, known=[]), candidates(TWINS)
    assert not copies.of_evaluated(twins).any()
    copies.update(TWINS[:1], np.ones((1, 2)))
    assert copies.of_evaluated(twins).all()


def test_copies_with_the_same_values_are_idle_and_with_values_of_their_own_are_not() -> None:
    same, own = Copies(NB, known=[]), Copies(NB, known=[])
    rng = np.random.default_rng(0)
    same.update(TWINS, np.ones((20, 2)))
    own.update(TWINS, rng.normal(size=(20, 2)))
    assert same.idle
    assert not own.idle


def test_a_few_shared_trainings_are_found_out_whatever_the_parts_in_which_they_are_told() -> None:
    values = np.random.default_rng(1).integers(0, 3, size=(20, 1)).astype(float)  # three training seeds
    at_once, in_parts = Copies(NB, known=[]), Copies(NB, known=[])
    at_once.update(TWINS, values)
    for n in range(1, 21):
        in_parts.update(TWINS[:n], values[:n])
    assert at_once.idle
    assert in_parts.idle


def test_architectures_that_differ_in_what_is_known_are_no_copies() -> None:
    copies = Copies(NB, known=[1])
    values = np.column_stack([np.ones(20), np.arange(20)])
    copies.update(TWINS, values)
    assert not copies.idle
    assert copies.of_evaluated(candidates(TWINS, known=values[:, 1:])).all()
    assert not copies.of_evaluated(candidates(TWINS, known=values[:, 1:] + 100)).any()


@pytest.mark.parametrize("identifier", ["nb201-gtsrb16-cpu-v1", "nb201s-c10-params-v1"])
def test_a_search_does_not_spend_its_budget_on_one_network(identifier: str) -> None:
    found = nmo.run(nmo.problem(identifier), "default", budget=60, seed=0)
    assert len(np.unique(NB.equivalence_class(found.X))) >= 50


def test_a_search_that_outlives_the_functions_goes_on_with_their_copies() -> None:
    """Eight of the nine architectures are copies; all are proposed, each once."""
    from nasbench_mo.search.default import DefaultSearcher

    class Alike(nmo.CategoricalSpace):
        def canonical(self, X: Any) -> Any:
            return np.minimum(self.check(X), [[2, 0]])

    space = Alike("alike", {"a": range(3), "b": range(3)})
    searcher = DefaultSearcher(space, 2, seed=0, initial=2)
    seen = []
    for _ in range(9):
        X = searcher.ask(1)
        seen += X.tolist()
        searcher.tell(X, np.stack([X[:, 0], 3 - X[:, 0]], axis=1).astype(float))
    assert len({tuple(x) for x in seen}) == 9
    assert len({a for a, _ in seen[:6]}) == 3
