"""The published problems: a table of facts. An entry is never edited once published; a correction is ``-v2``.

``nb201-gtsrb16-...`` reads our own table of networks that were trained and timed, which is embedded; the other
``nb201-...`` read imported tables; ``nb201s-...``, ``mnasnets-...`` and ``fbnets-...`` (s: surrogate) ask the
embedded predictors and cost tables and work offline. The last two spaces are too large for an exact front: their
manifests hold the best known one.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from nasbench_mo.artifacts import another_kind
from nasbench_mo.benchmark.codesign import AcceleratorValues, NetworkValues
from nasbench_mo.benchmark.manifest import (
    Manifest,
    compute_manifest,
    differences,
    has_exact_front,
    published_manifest,
)
from nasbench_mo.benchmark.search_problem import Problem, Term
from nasbench_mo.benchmark.values import (
    CountedValues,
    Fidelity,
    LayerValues,
    MissingMacsValues,
    OperatorValues,
    PredictedValues,
    TableValues,
    Values,
)
from nasbench_mo.errors import ArtifactError, SpecError, UnknownNameError, did_you_mean
from nasbench_mo.objective import Objective
from nasbench_mo.registry import Registry
from nasbench_mo.space import SPACES, space

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemSpec:
    """Definition of a published problem, before any data are opened."""

    id: str
    space: str
    terms: tuple[Term, ...]
    description: str
    simulated_seconds: Values | None = None
    simulated_joules: Values | None = None
    constraints: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Ids of the tables that have to be imported first."""
        return sorted({name for term in self.terms for name in term.values.missing()})


ACCURACY_TABLE = "nb201-accuracy-measured-v1"
LATENCY_TABLE = "nb201-help-latency-v1"
#: Table to a source that makes it, for whoever has to import it.
SOURCE_OF = {ACCURACY_TABLE: "nats-bench", LATENCY_TABLE: "help"}

#: Every network of NAS-Bench-201 trained on traffic signs; embedded.
TRAFFIC_SIGN_TABLE = "nb201-gtsrb16-v1"
_TRAFFIC_SIGN_EPOCHS, _TRAFFIC_SIGN_SEEDS = 10, (0, 1)
_TRAFFIC_SIGN_ASIC = "asic rows=12 cols=14 buffer_kb=108 bits=16 dataflow=rs buffer_bits=256 dram_bits=64 clock_mhz=200"
_TRAFFIC_SIGN_FPGA = (
    "fpga part=zcu102 style=pipelined unroll_out=8 unroll_in=8 unroll_kernel=3 bits=8 buffer_kib=32 clock_mhz=200"
)

#: Short name to (dataset, training seeds whose validation accuracy is published one by one).
DATASETS = {"c10": ("cifar10", (777, 888, 999)), "c100": ("cifar100", ()), "in16": ("imagenet16-120", ())}

#: HELP's devices: name to (device, batch). Batch is stated by HELP for GPUs only.
DEVICES: dict[str, tuple[str, int | None]] = {
    f"{gpu}_{batch}": (gpu, batch)
    for gpu, batches in (
        ("1080ti", (1, 32, 256)),
        ("2080ti", (1, 32, 256)),
        ("titan_rtx", (1, 32, 256)),
        ("titanx", (1, 32, 256)),
        ("titanxp", (1, 32, 256)),
    )
    for batch in batches
} | {
    device: (device, None)
    for device in (
        "gold_6226", "gold_6240", "silver_4114", "silver_4210r", "raspi4", "pixel2", "pixel3",
        "essential_ph_1", "samsung_a50", "samsung_s7", "eyeriss", "fpga",
    )
}  # fmt: skip

#: The trainings of 12 epochs, which have a schedule of their own. Of CIFAR-10 the mean of two is published.
SHORT_TRAININGS = {
    "c10": Fidelity(epochs=12, column="c10_valid_accuracy_12ep_mean_percent", n_trainings=2),
    "c100": Fidelity(epochs=12, column="c100_valid_accuracy_12ep_s111_percent"),
    "in16": Fidelity(epochs=12, column="in16_valid_accuracy_12ep_s111_percent"),
}

_MODELLED = ("eyeriss", "fpga")


def _measured_error(key: str) -> Term:
    dataset, seeds = DATASETS[key]
    objective = Objective(
        name="error",
        unit="percent",
        kind="derived",
        dataset=dataset,
        split="valid",
        epochs=200,
        seed="mean",
        note="a search sees one training seed" if seeds else None,
    )
    values = TableValues(
        table=ACCURACY_TABLE,
        column=f"{key}_valid_accuracy_200ep_mean_percent",
        seed_columns=tuple(f"{key}_valid_accuracy_200ep_s{seed}_percent" for seed in seeds),
        test_column=f"{key}_test_accuracy_200ep_mean_percent",
        shorter=(SHORT_TRAININGS[key],),
    )
    return Term(objective=objective, values=values)


def _traffic_sign_error() -> Term:
    def columns(epoch: int) -> Fidelity:
        stem = f"valid_error_ep{epoch}"
        seeds = tuple(f"{stem}_s{seed}_percent" for seed in _TRAFFIC_SIGN_SEEDS)
        return Fidelity(epochs=epoch, column=f"{stem}_mean_percent", seed_columns=seeds)

    *curve, last = (columns(epoch) for epoch in range(1, _TRAFFIC_SIGN_EPOCHS + 1))
    objective = Objective(
        name="error",
        unit="percent",
        kind="derived",
        dataset="gtsrb16",
        split="valid",
        epochs=last.epochs,
        seed="mean",
        note="a search sees one training seed",
    )
    values = TableValues(
        table=TRAFFIC_SIGN_TABLE,
        column=last.column,
        seed_columns=last.seed_columns,
        test_column="test_error_mean_percent",
        curve=tuple(curve),
    )
    return Term(objective=objective, values=values)


def _traffic_sign_cost(column: str) -> Term:
    """What the very networks that were trained cost: measured, modelled on an accelerator, or counted."""
    shared: dict[str, Any] = {"dataset": "gtsrb16", "batch": 1, "convention": "live"}
    asic, fpga = (
        {"kind": "modelled", "device": device, "precision": precision, **shared}
        for device, precision in ((_TRAFFIC_SIGN_ASIC, "int16"), (_TRAFFIC_SIGN_FPGA, "int8"))
    )
    fields: dict[str, dict[str, Any]] = {
        "latency_cpu_ms": {
            "unit": "ms",
            "kind": "measured",
            "device": "AMD EPYC",
            "precision": "fp32",
            "runtime": "onnxruntime 1.31.1",
            "note": "1 thread",
            **shared,
        },
        "latency_asic_ms": {"unit": "ms", **asic},
        "energy_asic_uj": {"unit": "uj", "note": "dynamic energy", **asic},
        "latency_fpga_ms": {"unit": "ms", **fpga},
        "params_count": {"unit": "count", "kind": "derived", "dataset": "gtsrb16", "convention": "live"},
    }
    objective = Objective(name=column.rpartition("_")[0], **fields[column])
    values = TableValues(table=TRAFFIC_SIGN_TABLE, column=column)
    return Term(objective=objective, values=values, cheap=objective.kind != "measured")


def _predicted_error(key: str) -> Term:
    objective = Objective(
        name="error", unit="percent", kind="predicted", dataset=DATASETS[key][0], split="valid", epochs=200, seed="mean"
    )
    return Term(objective=objective, values=PredictedValues(predictor=f"nb201-{key}-valerr-xgb-v1"))


def _table_latency(name: str) -> Term:
    device, batch = DEVICES[name]
    modelled = name in _MODELLED
    objective = Objective(
        name=f"latency_{name}",
        unit="ms",
        kind="modelled" if modelled else "measured",
        dataset="cifar10",
        device=device,
        batch=batch,
        convention="all" if modelled else None,
    )
    return Term(objective=objective, values=TableValues(table=LATENCY_TABLE, column=objective.column))


def _modelled_latency(device: str) -> Term:
    objective = Objective(
        name=f"latency_{device}", unit="ms", kind="modelled", dataset="cifar10", device=device, convention="all"
    )
    values = OperatorValues(table=f"nb201-{device}-latency-modelled-v1", column=objective.column)
    return Term(objective=objective, values=values)


def _epyc_latency() -> Term:
    """CIFAR-10 networks on one core of a server processor, single precision."""
    objective = Objective(
        name="latency_epyc",
        unit="us",
        kind="derived",
        dataset="cifar10",
        device="AMD EPYC",
        batch=1,
        precision="fp32",
        runtime="onnxruntime 1.31.1",
        convention="live",
        note="one core; sum over layers that were measured on the device",
    )
    values = LayerValues(table="nb201-cpu-ort-epyc-v1", column="latency_fp32_t1_us")
    return Term(objective=objective, values=values)


def _predicted_latency(name: str) -> Term:
    """CIFAR-10 networks on one of HELP's devices, by the embedded predictor."""
    device, batch = DEVICES[name]
    objective = Objective(
        name=f"latency_{name}", unit="ms", kind="predicted", dataset="cifar10", device=device, batch=batch
    )
    return Term(objective=objective, values=PredictedValues(predictor=f"nb201-{name}-latency-linear-v1"))


def _asic_energy() -> Term:
    """CIFAR-10 networks on an accelerator of Eyeriss's size, by ZigZag."""
    objective = Objective(
        name="energy_asic",
        unit="uj",
        kind="modelled",
        dataset="cifar10",
        device="asic 12x14, 108 KB, row stationary",
        batch=1,
        precision="int16",
        runtime="zigzag-dse 3.9.1",
        convention="live",
    )
    values = LayerValues(table="nb201-asicgrid-energy-modelled-v1", column="energy_12x14_108kb_16b_rs_256_64_uj")
    return Term(objective=objective, values=values)


def _mnasnet_cost(quantity: str, device: str) -> Term:
    """ImageNet networks on one of Accel-NASBench's devices: latency, or 1,000 / throughput."""
    objective = Objective(
        name=f"latency_{device}" if quantity == "latency" else f"image_time_{device}",
        unit="ms",
        kind="predicted",
        dataset="imagenet",
        device=device,
        note=None if quantity == "latency" else "1,000 / throughput: time of one image",
    )
    return Term(objective=objective, values=PredictedValues(predictor=f"mnasnet-{device}-{quantity}-linxgb-v1"))


def _fbnet_latency(device: str, *, batch: int | None = None) -> Term:
    """CIFAR-100 networks on one of HELP's devices, by the embedded predictor."""
    name = device if batch is None else f"{device}_{batch}"
    objective = Objective(
        name=f"latency_{name}", unit="ms", kind="predicted", dataset="cifar100", device=device, batch=batch
    )
    return Term(objective=objective, values=PredictedValues(predictor=f"fbnet-{name}-latency-linear-v1"))


def _counted(quantity: str, *, key: str) -> Term:
    values = CountedValues(quantity=quantity, dataset=DATASETS[key][0])
    return Term(objective=values.origin, values=values)


def _traffic_signs() -> list[ProblemSpec]:
    # multiply-accumulates rank networks as parameters do, and energy on the FPGA as latency on it (tau-b 1.00, .99)
    chosen = {
        "cpu": (("latency_cpu_ms",), "measured latency on a server processor's core"),
        "cpu-params": (("latency_cpu_ms", "params_count"), "measured latency on a server processor's core, parameters"),
        "asic": (("latency_asic_ms",), "modelled latency on an ASIC"),
        "asic_energy": (("energy_asic_uj",), "modelled energy on an ASIC"),
        "fpga": (("latency_fpga_ms",), "modelled latency on an FPGA"),
        "params": (("params_count",), "parameters"),
    }
    return [
        ProblemSpec(
            id=f"nb201-gtsrb16-{suffix}-v1",
            space="nb201",
            terms=(_traffic_sign_error(), *map(_traffic_sign_cost, columns)),
            description=f"measured traffic-sign validation error against {about}; every network was trained; embedded, "
            "works offline",
            simulated_seconds=TableValues(table=TRAFFIC_SIGN_TABLE, column="train_time_mean_s"),
        )
        for suffix, (columns, about) in chosen.items()
    ]


def _measured(suffix: str, *, key: str, costs: tuple[Term, ...], about: str) -> ProblemSpec:
    return ProblemSpec(
        id=f"nb201-{key}-{suffix}-v1",
        space="nb201",
        terms=(_measured_error(key), *costs),
        description=f"{DATASETS[key][0]} validation error against {about}; imported tables",
        simulated_seconds=TableValues(table=ACCURACY_TABLE, column=f"{key}_train_time_200ep_s"),
    )


def _surrogate(
    suffix: str, *, key: str, costs: tuple[Term, ...], about: str, constraints: tuple[str, ...] = ()
) -> ProblemSpec:
    return ProblemSpec(
        id=f"nb201s-{key}-{suffix}-v1",
        space="nb201",
        terms=(_predicted_error(key), *costs),
        description=f"{DATASETS[key][0]} predicted validation error against {about}; embedded, works offline",
        constraints=constraints,
    )


def _mnasnet(suffix: str, *, costs: tuple[Term, ...], about: str) -> ProblemSpec:
    error = Objective(
        name="error",
        unit="percent",
        kind="predicted",
        dataset="imagenet",
        split="valid",
        note="top-1 after Accel-NASBench's shortened training",
    )
    return ProblemSpec(
        id=f"mnasnets-in1k-{suffix}-v1",
        space="mnasnet",
        terms=(Term(objective=error, values=PredictedValues(predictor="mnasnet-in1k-valerr-linxgb-v1")), *costs),
        description=f"imagenet predicted validation error of MnasNet-like networks against {about}; HV* is of the best "
        "front known; embedded, works offline",
    )


def _fbnet(suffix: str, *, costs: tuple[Term, ...], about: str) -> ProblemSpec:
    missing = MissingMacsValues(dataset="cifar100")
    return ProblemSpec(
        id=f"fbnets-macs-{suffix}-v1",
        space="fbnet",
        terms=(Term(objective=missing.origin, values=missing), *costs),
        description=f"missing multiply-accumulates of FBNet networks against {about}; no accuracy of this space is "
        "published, HV* is of the best front known; embedded, works offline",
    )


def _many_objectives() -> list[ProblemSpec]:
    """CIFAR-10 error against two to four costs, no two of which rank networks alike: Kendall's tau-b is below 0.75."""
    of = {name: _predicted_latency(name) for name in ("1080ti_1", "1080ti_256", "titan_rtx_1", "raspi4")} | {
        "epyc": _epyc_latency(),
        "eyeriss": _modelled_latency("eyeriss"),
        "asic_energy": _asic_energy(),
        "params": _counted("params", key="c10"),
    }
    named = {
        "1080ti_1": "latency on a GPU",
        "1080ti_256": "latency of a batch of 256 on a GPU",
        "titan_rtx_1": "latency on a GPU",
        "raspi4": "latency on an embedded processor",
        "epyc": "latency on a server processor's core",
        "eyeriss": "latency on an ASIC (Eyeriss)",
        "asic_energy": "energy on an ASIC",
        "params": "parameters",
    }
    chosen = (
        ("1080ti_1", "raspi4"),
        ("1080ti_256", "epyc"),
        ("1080ti_1", "raspi4", "eyeriss"),
        ("1080ti_1", "1080ti_256", "asic_energy"),
        ("titan_rtx_1", "raspi4", "eyeriss", "params"),
        ("1080ti_1", "1080ti_256", "raspi4", "params"),
    )
    return [
        _surrogate(
            "-".join(names),
            key="c10",
            costs=tuple(of[n] for n in names),
            about=f"{', '.join(named[n] for n in names[:-1])} and {named[names[-1]]}",
        )
        for names in chosen
    ]


def _large_spaces() -> list[ProblemSpec]:
    a100, tpuv3 = _mnasnet_cost("time", "a100"), _mnasnet_cost("time", "tpuv3")
    zcu102 = _mnasnet_cost("latency", "zcu102")
    return [
        _mnasnet("a100", costs=(a100,), about="time of an image on a GPU (A100)"),
        _mnasnet("tpuv3", costs=(tpuv3,), about="time of an image on a TPUv3"),
        _mnasnet("zcu102", costs=(zcu102,), about="latency on an FPGA (ZCU102)"),
        _mnasnet(
            "a100-zcu102",
            costs=(a100, zcu102),
            about="time of an image on a GPU (A100) and latency on an FPGA (ZCU102)",
        ),
        _fbnet("pixel3", costs=(_fbnet_latency("pixel3"),), about="latency on a phone (Pixel 3)"),
        _fbnet(
            "raspi4-1080ti_64",
            costs=(_fbnet_latency("raspi4"), _fbnet_latency("1080ti", batch=64)),
            about="latency on an embedded processor (Raspberry Pi 4) and of a batch of 64 on a GPU (GTX 1080 Ti)",
        ),
    ]


def _codesign(kind: str, *, quantities: tuple[str, ...], about: str) -> ProblemSpec:
    """Predicted CIFAR-10 error of a network against modelled costs on an accelerator that is chosen with it."""
    name = f"nb201-x-{kind}"
    error = _predicted_error("c10")
    costs = [AcceleratorValues(quantity=quantity, space=name) for quantity in quantities]
    return ProblemSpec(
        id=f"{name}-v1",
        space=name,
        terms=(
            Term(objective=error.objective, values=NetworkValues(values=error.values, space=name)),
            *(Term(objective=values.origin, values=values) for values in costs),
        ),
        description=f"cifar10 predicted validation error against {about}; network and accelerator chosen together, "
        "embedded, works offline",
    )


def _all_specs() -> list[ProblemSpec]:
    both = "latency on an ASIC (Eyeriss) and on an FPGA"
    surrogate_costs = {d: _modelled_latency(d) for d in _MODELLED}
    specs = [
        *_traffic_signs(),
        _surrogate("eyeriss-fpga", key="c10", costs=tuple(surrogate_costs.values()), about=both),
        _surrogate("eyeriss", key="c10", costs=(surrogate_costs["eyeriss"],), about="latency on an ASIC (Eyeriss)"),
        _surrogate("fpga", key="c10", costs=(surrogate_costs["fpga"],), about="latency on an FPGA"),
        _surrogate("epyc", key="c10", costs=(_epyc_latency(),), about="latency on a server processor's core"),
    ]
    for key in DATASETS:
        for quantity, about in (("params", "parameters"), ("flops", "multiply-accumulates")):
            specs.append(_surrogate(quantity, key=key, costs=(_counted(quantity, key=key),), about=about))
    specs += [
        _codesign(
            "asic", quantities=("latency", "energy", "area"), about="modelled latency, energy and area of an ASIC"
        ),
        _codesign(
            "fpga", quantities=("latency", "energy", "dsp"), about="modelled latency, energy and DSPs of an FPGA design"
        ),
    ]
    specs.append(
        _surrogate(
            "fpga-eyeriss5",
            key="c10",
            costs=(surrogate_costs["fpga"],),
            about="latency on an FPGA, with at most 5 ms on an ASIC (Eyeriss)",
            constraints=("latency_eyeriss_ms <= 5",),
        )
    )
    specs += [*_many_objectives(), *_large_spaces()]
    tables = (_table_latency("eyeriss"), _table_latency("fpga"))
    specs.append(_measured("eyeriss-fpga", key="c10", costs=tables, about=both))
    specs += [_measured(name, key="c10", costs=(_table_latency(name),), about=f"latency on {name}") for name in DEVICES]
    specs.append(_measured("epyc", key="c10", costs=(_epyc_latency(),), about="latency on a server processor's core"))
    for key in DATASETS:
        for quantity, about in (("params", "parameters"), ("flops", "multiply-accumulates")):
            specs.append(_measured(quantity, key=key, costs=(_counted(quantity, key=key),), about=about))
    return specs


CATALOGUE: dict[str, ProblemSpec] = {spec.id: spec for spec in _all_specs()}
#: Plug-ins announce a ProblemSpec.
PLUGINS = Registry("problem", builtins={}, group="nasbench_mo.problems")
DEMO_PROBLEM = "nb201-gtsrb16-cpu-v1"


def problem_names() -> list[str]:
    """Ids of all published problems and plug-ins."""
    return [*CATALOGUE, *(n for n in PLUGINS if n not in CATALOGUE)]


def problem_spec(identifier: str) -> ProblemSpec:
    """Definition of a problem; no data are opened.

    Raises
    ------
    UnknownNameError
        No problem has this id; the message lists the closest ones.
    """
    if not isinstance(identifier, str):
        raise UnknownNameError(f"the id of a problem is text, got {identifier!r}")
    if identifier in CATALOGUE:
        return CATALOGUE[identifier]
    if identifier in PLUGINS:
        spec = PLUGINS.get(identifier)
        if not isinstance(spec, ProblemSpec):
            raise SpecError(f"the plug-in {identifier!r} must be a ProblemSpec, got {type(spec).__name__}")
        return spec
    names = problem_names()
    raise UnknownNameError(
        f"no problem is called {identifier!r}{_another_kind(identifier)}.{did_you_mean(identifier, names)} "
        "All are listed by: nasbench-mo list problems"
    )


def _another_kind(identifier: str) -> str:
    """What else an id is, in words."""
    return ", which is a search space" if identifier in SPACES else another_kind(identifier)


def problem(identifier: str) -> Problem:
    """Open a published problem.

    The data at hand are compared with the published manifest. Where they differ, the problem is another one: its
    id gets ``+local.<hash of the data>``, its manifest is computed from these data, and the differences are logged.

    Raises
    ------
    UnknownNameError
        No problem has this id.
    ArtifactError
        Its tables are not imported yet; the message says how.

    Examples
    --------
    >>> made = problem("nb201s-c10-flops-v1")
    >>> [o.column for o in made.objectives]
    ['error_percent', 'flops_millions']
    >>> made.evaluate(made.space.enumerate()[:2]).shape
    (2, 2)
    """
    spec = problem_spec(identifier)
    missing = spec.missing()
    if missing:
        raise ArtifactError(
            f"problem {identifier!r} needs the tables {', '.join(missing)}, which are not imported. Import them: "
            f"{'; '.join(_how_to_import(name) for name in missing)} ('nasbench-mo show SOURCE' says what a source "
            "reads), or take one of the embedded 'nb201s-' problems"
        )
    made = open_unchecked(spec)
    published = published_manifest(identifier)
    if published is not None and published.data_hash == made.data_hash:
        return _under(published, made)
    if not has_exact_front(made.space):
        if published is None:
            return made
        made.id = f"{identifier}+local.{made.data_hash[:8]}"
        _log.warning("problem %s: these data are not the published ones; %s has no manifest", identifier, made.id)
        return made
    local = compute_manifest(made)
    if published is not None:
        found = differences(published, local)
        if not found:
            return _under(published, made)
        _log.warning("problem %s: these data are not the published ones: %s", identifier, "; ".join(found))
    local_id = f"{identifier}+local.{local.data_hash[:8]}"
    return _under(dataclasses.replace(local, problem=local_id), made)


def _how_to_import(table: str) -> str:
    return f"'nasbench-mo import {SOURCE_OF.get(table, 'SOURCE')} PATH' for {table}"


def _under(manifest: Manifest, made: Problem) -> Problem:
    """The same open problem, its hash and values kept as they were compared, under a manifest and its identity."""
    made.id = manifest.problem
    made._manifest = manifest
    return made


def open_unchecked(spec: ProblemSpec, *, manifest: Manifest | None = None) -> Problem:
    """A problem of a definition, without looking at the published manifest."""
    return Problem(
        spec.id,
        search_space=space(spec.space),
        terms=spec.terms,
        manifest=manifest,
        simulated_seconds=spec.simulated_seconds,
        simulated_joules=spec.simulated_joules,
        description=spec.description,
        constraints=spec.constraints,
    )


def manifest_report(identifier: str) -> list[str]:
    """How the data at hand differ from a problem's published manifest, one sentence a difference."""
    published = published_manifest(identifier)
    if published is None:
        return [f"no manifest is published for {identifier}"]
    made = open_unchecked(problem_spec(identifier))
    if made.data_hash != published.data_hash and not published.exact:
        return [f"data hash: published {published.data_hash[:8]}, these data {made.data_hash[:8]}"]
    return [] if made.data_hash == published.data_hash else differences(published, compute_manifest(made))


def problems_over(tables: set[str]) -> list[str]:
    """Ids of the problems that read one of these tables and now have all they need."""
    ready = []
    for identifier, spec in CATALOGUE.items():
        reads = {t.values.table for t in spec.terms if isinstance(t.values, TableValues)}
        if reads & tables and not spec.missing():
            ready.append(identifier)
    return ready
