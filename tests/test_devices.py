"""The overview of devices says what artefacts say, and nothing that they do not."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import nasbench_mo as nmo
from nasbench_mo import artifacts
from nasbench_mo.benchmark.device_fronts import device_fronts
from nasbench_mo.benchmark.devices import NOT_AVAILABLE, NOT_STATED, device_class, device_rows, devices_markdown
from nasbench_mo.cli import main

ROOT = Path(__file__).parents[1]


def test_the_page_is_current() -> None:
    page = (ROOT / "hw_tables" / "README.md").read_text(encoding="utf-8")
    assert page == devices_markdown(command="nasbench-mo table devices")


def test_all_four_classes_have_costs_and_every_device_a_class() -> None:
    rows = device_rows()
    assert {"GPU", "CPU", "FPGA", "ASIC"} <= {row.device_class for row in rows}
    assert NOT_STATED not in {row.device_class for row in rows}
    assert device_class("abacus") == NOT_STATED


def test_rows_repeat_their_cards() -> None:
    rows = {row.artefact: row for row in device_rows()}
    row = rows["nb201-2080ti_32-latency-linear-v1"]
    card = artifacts.read_card(artifacts.resolve("predictors", row.artefact))
    assert (row.batch, row.unit, row.space) == (str(card["objective"]["batch"]), card["objective"]["unit"], "nb201")
    assert row.source == card["trained_on"]["source"]
    assert row.energy == NOT_AVAILABLE  # nobody published it, and it is not 0
    assert rows["nb201-eyeriss-latency-modelled-v1"].kind == "modelled"
    assert rows["nb201-fpga-latency-linear-v1"].kind == "predicted, of a simulation"
    assert {row.energy for row in rows.values()} <= {NOT_AVAILABLE, "modelled", *rows}
    assert rows["nb201-asicgrid-cycles-modelled-v1"].energy == "nb201-asicgrid-energy-modelled-v1"


def test_the_commands_print_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for arguments in (["list", "devices"], ["table", "devices", "--out", str(tmp_path / "page.md")]):
        monkeypatch.setattr(sys, "argv", ["nasbench-mo", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    assert "mnasnet-zcu102-latency-linxgb-v1" in capsys.readouterr().out
    assert (tmp_path / "page.md").read_text(encoding="utf-8").startswith("# Devices")


def test_fronts_are_those_of_the_columns_and_each_says_of_what_kind() -> None:
    fronts = {(front.label.partition(":")[0], front.quantity): front for front in device_fronts()}
    assert set(fronts) == {
        ("GPU", "latency"), ("CPU", "latency"), ("FPGA", "latency"), ("FPGA", "energy"), ("ASIC", "latency"),
        ("ASIC", "energy"),
    }  # fmt: skip
    for (kind, _), front in fronts.items():
        assert {"GPU": "predicted", "CPU": "measured"}.get(kind, "modelled") in front.label
        error, cost = front.values.T
        assert (np.diff(cost) > 0).all()
        assert (np.diff(error) < 0).all()
    epyc = nmo.problem("nb201s-c10-epyc-v1")  # the same error and latency, enumerated elsewhere
    np.testing.assert_allclose(
        np.sort(fronts["CPU", "latency"].values[:, 1] * 1e3), np.sort(np.unique(epyc.true_front()[:, 1]))
    )


def test_the_command_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(
        sys, "argv", ["nasbench-mo", "table", "devices", "--out", f"{tmp_path}/d.md", "--plot", f"{tmp_path}/f.png"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert "![" in (tmp_path / "d.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.count("wrote") == 2
