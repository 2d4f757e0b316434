"""Networks with the accelerators they run on: spaces, costs of pairs, and fronts of products that nobody writes out."""

from __future__ import annotations

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo.benchmark import compute_manifest, differences, problem_spec, published_manifest
from nasbench_mo.benchmark.catalogue import open_unchecked
from nasbench_mo.benchmark.codesign import product_space
from nasbench_mo.errors import ManifestError, SpecError
from nasbench_mo.hardware.accelerators import ACCELERATORS, accelerators
from nasbench_mo.hardware.codesign import candidates, exact_front, moments
from nasbench_mo.hardware.fpga_resources import feasible
from nasbench_mo.hardware.workload import workload
from nasbench_mo.pareto import nondominated
from nasbench_mo.space.product import ProductSpace

NB = nmo.space("nb201")
WORK = workload("nb201")
RNG = np.random.default_rng(0)
QUANTITIES = {"asic": ("latency", "energy", "area"), "fpga": ("latency", "energy", "dsp")}


def some(kind: str, *, n: int, h: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n networks, their counts, and h accelerators."""
    X = NB.sample(3 * n, rng=RNG)
    X = np.unique(X[~NB.degenerate(X)], axis=0)[:n]
    return X, WORK.counts(X), nmo.space(kind).sample(h, rng=RNG)


# ---------------------------------------------------------------------- spaces


def test_a_product_joins_and_splits() -> None:
    both = product_space("nb201-x-asic")
    A, B = NB.sample(9, rng=RNG), nmo.space("asic").sample(9, rng=RNG)
    X = both.join(A, B)
    for part, found in zip((A, B), both.split(X), strict=True):
        np.testing.assert_array_equal(part, found)
    strings = [f"{a}@{b}" for a, b in zip(NB.decode(A), nmo.space("asic").decode(B), strict=True)]
    assert both.decode(X) == strings
    np.testing.assert_array_equal(both.encode(strings), X)
    np.testing.assert_array_equal(both.degenerate(X), NB.degenerate(A))
    np.testing.assert_array_equal(both.split(both.canonical(X))[0], NB.canonical(A))
    assert both.size == 15_625 * nmo.space("asic").size


def test_what_is_no_product_is_refused() -> None:
    with pytest.raises(SpecError, match="two spaces or more, of different names"):
        ProductSpace("twice", [NB, NB])
    with pytest.raises(SpecError, match="2 parts; got 1 arrays"):
        product_space("nb201-x-asic").join(NB.sample(2, rng=RNG))
    with pytest.raises(SpecError, match="rows cannot be joined"):
        product_space("nb201-x-asic").join(NB.sample(2, rng=RNG), nmo.space("asic").sample(3, rng=RNG))
    with pytest.raises(SpecError, match="is no product"):
        product_space("nb201")


def test_every_fpga_design_of_the_space_fits_its_part() -> None:
    model = ACCELERATORS["fpga"]()
    designs = model.configs(model.space.enumerate())  # type: ignore[attr-defined]
    assert len(designs) == 1728
    assert feasible(WORK.shapes, designs).all()


# ---------------------------------------------------------------------- costs


@pytest.mark.parametrize("kind", QUANTITIES)
def test_costs_of_pairs_are_the_diagonal_and_do_not_depend_on_their_company(kind: str) -> None:
    model = accelerators(kind)
    _, counts, A = some(kind, n=40, h=40)
    whole = model.costs(counts, A, shapes=WORK.shapes)
    pairs = model.pair_costs(counts, A, shapes=WORK.shapes)
    for name in QUANTITIES[kind]:
        assert (whole[name] > 0).all()
        np.testing.assert_array_equal(np.diag(whole[name]), pairs[name])
        alone = [model.pair_costs(counts[i : i + 1], A[i : i + 1], shapes=WORK.shapes)[name][0] for i in range(40)]
        np.testing.assert_allclose(alone, pairs[name], rtol=1e-12)
    with pytest.raises(SpecError, match="one accelerator for each network, got 3 for 40"):
        model.pair_costs(counts, A[:3], shapes=WORK.shapes)


@pytest.mark.parametrize("kind", QUANTITIES)
def test_costs_never_fall_when_a_network_gets_more_layers(kind: str) -> None:
    """What the exact front rests on."""
    _, counts, A = some(kind, n=30, h=60)
    more = counts + RNG.integers(0, 3, counts.shape)
    model = accelerators(kind)
    small, large = (model.costs(c, A, shapes=WORK.shapes) for c in (counts, more))
    for name in QUANTITIES[kind]:
        assert (large[name] >= small[name]).all()


def test_a_faster_clock_costs_energy_and_a_wider_word_costs_both() -> None:
    space = nmo.space("asic")
    base = "rows=12,cols=14,buffer_kb=108,bits={bits},dataflow=rs,buffer_bits=256,dram_bits=64,clock_mhz={clock}"
    A = space.encode([base.format(bits=b, clock=c) for b, c in ((8, 100), (8, 400), (16, 400))])
    _, counts, _ = some("asic", n=5, h=1)
    made = accelerators("asic").costs(counts, A, shapes=WORK.shapes)
    np.testing.assert_allclose(made["latency"][:, 0], 4 * made["latency"][:, 1], rtol=1e-6)
    np.testing.assert_allclose(made["energy"][:, 1] / made["energy"][:, 0], (0.9 / 0.7) ** 2, rtol=1e-6)
    assert (made["energy"][:, 2] > made["energy"][:, 1]).all()
    assert (made["area"][0, 0], made["area"][0, 0] < made["area"][0, 2]) == (made["area"][0, 1], True)


def test_an_unknown_accelerator_or_quantity_is_named() -> None:
    with pytest.raises(SpecError, match=r"known: asic, fpga.*Did you mean 'asic'"):
        accelerators("asics")
    with pytest.raises(SpecError, match="have latency, energy, area; got 'power'"):
        accelerators("asic").objective("power")


# ---------------------------------------------------------------------- fronts


@pytest.mark.parametrize("kind", QUANTITIES)
def test_the_front_is_that_of_all_pairs(kind: str) -> None:
    X, counts, A = some(kind, n=250, h=60)
    error = np.round(RNG.random(len(X)) + 10 - counts.sum(axis=1) / counts.sum(axis=1).max(), 3)
    model, names = accelerators(kind), QUANTITIES[kind]
    made = model.costs(counts, A, shapes=WORK.shapes)
    F = np.stack([np.repeat(error, len(A)), *(made[name].ravel() for name in names)], axis=1)
    oracle = np.unique(F[nondominated(F)], axis=0)
    done: list[tuple[int, int]] = []
    found = exact_front(
        error, counts, A, shapes=WORK.shapes, model=model, quantities=names, progress=lambda *x: done.append(x)
    )
    np.testing.assert_allclose(found.F, oracle, rtol=1e-12)
    assert done[-1] == (60, 60)
    np.testing.assert_array_equal(found.F[:, 0], error[found.network])
    again = model.pair_costs(counts[found.network], A[found.accelerator], shapes=WORK.shapes)
    for j, name in enumerate(names, start=1):
        np.testing.assert_allclose(found.F[:, j], again[name], rtol=1e-12)


def test_few_networks_can_be_on_a_front() -> None:
    counts = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 1.0], [0.0, 3.0], [2.0, 2.0]])
    error = np.array([5.0, 4.0, 4.0, 9.0, 3.0])
    # 0 has the counts of 1 and a larger error; 2 has the error of 1 and larger counts
    assert candidates(error, counts).tolist() == [1, 3, 4]
    assert candidates(np.array([2.0, 2.0]), np.ones((2, 1))).tolist() == [0]


def test_moments_are_those_of_all_pairs() -> None:
    X, counts, A = some("asic", n=30, h=50)
    error = RNG.random(len(X))
    model = accelerators("asic")
    found = moments(error, counts, A, shapes=WORK.shapes, model=model, quantities=("latency", "area"))
    made = model.costs(counts, A, shapes=WORK.shapes)
    F = np.stack([np.repeat(error, 50), made["latency"].ravel(), made["area"].ravel()], axis=1)
    np.testing.assert_allclose(found.mean, F.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(found.weighted_mean, (F * np.linspace(0, 1, len(F))[:, None]).mean(axis=0), rtol=1e-10)


def test_errors_that_do_not_fit_are_refused() -> None:
    _, counts, A = some("asic", n=4, h=2)
    arguments = {"shapes": WORK.shapes, "model": accelerators("asic"), "quantities": ("latency",)}
    with pytest.raises(SpecError, match="expected \\(n,\\) errors and"):
        exact_front(np.ones(3), counts, A, **arguments)  # type: ignore[arg-type]
    with pytest.raises(SpecError, match="network 1 has nan"):
        exact_front([1.0, np.nan, 1.0, 1.0], counts, A, **arguments)  # type: ignore[arg-type]


# ---------------------------------------------------------------------- problems


@pytest.mark.parametrize("kind", QUANTITIES)
def test_the_published_problem_opens_with_its_exact_front(kind: str) -> None:
    problem = nmo.problem(f"nb201-x-{kind}-v1")
    assert problem.id == f"nb201-x-{kind}-v1"  # the data hash is the published one
    assert [o.kind for o in problem.objectives] == ["predicted", "modelled", "modelled", "modelled"]
    run = nmo.run(problem, "random", budget=60)
    assert 0 < run.hypervolume_share() < 1


def test_the_published_manifest_is_computed_again() -> None:
    identifier = "nb201-x-fpga-v1"
    published = published_manifest(identifier)
    assert published is not None
    assert differences(published, compute_manifest(open_unchecked(problem_spec(identifier)))) == []


def test_the_published_asic_front_is_computed_again() -> None:
    published = published_manifest("nb201-x-asic-v1")
    assert published is not None
    X = NB.enumerate()
    X = X[~NB.degenerate(X)]
    error = nmo.predictor("nb201-c10-valerr-xgb-v1").predict(X)
    model = accelerators("asic")
    found = exact_front(
        error, WORK.counts(X), model.space.enumerate(), shapes=WORK.shapes, model=model, quantities=QUANTITIES["asic"]
    )
    assert len(found.F) == published.score.front_size
    np.testing.assert_allclose(found.F.min(axis=0), published.score.ideal, rtol=1e-9)
    np.testing.assert_allclose(found.F.max(axis=0), published.score.nadir, rtol=1e-9)


def test_a_product_without_accelerator_has_no_exact_manifest() -> None:
    product = ProductSpace("two-nets", [nmo.space("nb201"), nmo.space("nbmacro")])
    objective = nmo.Objective(name="a", unit="ms", kind="modelled")
    other = nmo.Objective(name="b", unit="ms", kind="modelled")
    problem = nmo.Problem.from_function(
        "two", lambda X: np.ones((len(X), 2)), search_space=product, objectives=[objective, other]
    )
    with pytest.raises(ManifestError, match="one objective of the network"):
        compute_manifest(problem)
