"""Tables of modelled accelerators: against the models for single networks, from specification to artefact."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from nasbench_mo import artifacts
from nasbench_mo.cli import main
from nasbench_mo.errors import ArchitectureError, SpecError
from nasbench_mo.hardware.accelerators import accelerators
from nasbench_mo.hardware.design_table import DesignSpec, build_design_table, is_design_table
from nasbench_mo.hardware.workload import workload
from nasbench_mo.space.nb201 import Skeleton
from nasbench_mo.table import Table

PUBLISHED = "nb201-gtsrb16-accelerators-modelled-v1"
FIELDS = {
    "id": "nb201-made-up-modelled-v1",
    "space": "nb201",
    "dataset": "made-up",
    "skeleton": {"n_cells": 1, "channels": 4, "image_size": 8, "n_classes": 5},
    "accelerators": {
        "asic": "rows=32,cols=32,buffer_kb=512,bits=16,dataflow=os,buffer_bits=256,dram_bits=64,clock_mhz=400",
    },
    "about": "A made-up network.",
}


def written(path: Path, **changes: object) -> Path:
    fields = {name: value for name, value in (FIELDS | changes).items() if value is not None}
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


def test_every_row_is_what_the_model_says_of_that_network(tmp_path: Path) -> None:
    path = written(tmp_path / "spec.yaml")
    table = build_design_table(DesignSpec.read(path), root=tmp_path / "out", command="a command", spec_file=path)
    model, design = accelerators("asic"), str(FIELDS["accelerators"]["asic"])  # type: ignore[index]
    work = workload("nb201", skeleton=Skeleton(n_cells=1, channels=4, image_size=8, n_classes=5))
    for row in (0, 777, 15_624):
        X = table.encodings()[[row]]
        alone = model.costs(work.counts(X), model.space.encode([design]), shapes=work.shapes)
        assert table["latency_asic_ms"][row] == pytest.approx(alone["latency"][0, 0], rel=1e-12)
        assert table["energy_asic_uj"][row] == pytest.approx(alone["energy"][0, 0], rel=1e-12)
    assert {o.kind for o in table.objectives.values()} == {"modelled"}
    assert {o.dataset for o in table.objectives.values()} == {"made-up"}
    card = artifacts.read_card(table.path.parent)
    assert card["networks"] == work.name
    assert card["command"] == "a command"


def test_the_published_table_is_made_again_from_its_specification(tmp_path: Path) -> None:
    folder = artifacts.resolve("hw_tables", PUBLISHED)
    spec_file = folder / "spec.yaml"
    assert is_design_table(spec_file)
    made = build_design_table(DesignSpec.read(spec_file), root=tmp_path, command="again", spec_file=spec_file)
    stored = Table.open(folder)
    assert list(made.objectives) == list(stored.objectives)
    for column in stored.objectives:
        np.testing.assert_allclose(made[column], stored[column], rtol=1e-12)


def test_the_command_builds_it_and_a_published_one_is_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path / "spec.yaml")
    codes = []
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", "table", "build", str(path), "--out", str(tmp_path / "out")])
        try:
            main()
        except SystemExit as ended:
            codes.append(ended.code or 0)
    said = capsys.readouterr()
    assert codes == [0, 2]
    assert f"wrote {tmp_path / 'out' / 'nb201-made-up-modelled-v1'}" in said.out
    assert "published artefacts are frozen" in said.err


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"accelerators": {}}, SpecError, "at least one of asic, fpga"),
        ({"accelerators": {"tpu": "rows=1"}}, SpecError, "tpu"),
        ({"accelerators": {"asic": "rows=8"}}, ArchitectureError, "rows=8"),
        ({"skeleton": {"n_cells": 1, "depth": 3}}, SpecError, "depth"),
        ({"space": "mnasnet", "dataset": "imagenet", "skeleton": None}, SpecError, "a table holds all of a space"),
        ({"dataset": None}, SpecError, "dataset"),
    ],
)
def test_a_wrong_specification_is_refused_and_nothing_is_written(
    tmp_path: Path, changes: dict[str, object], error: type[Exception], message: str
) -> None:
    path = written(tmp_path / "spec.yaml", **changes)
    with pytest.raises(error, match=message):
        build_design_table(DesignSpec.read(path), root=tmp_path / "out", command="a command", spec_file=path)
    assert not (tmp_path / "out").exists()
