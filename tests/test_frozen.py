"""Published artefacts never change: a correction is a new version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nasbench_mo import artifacts

ROOT = Path(__file__).parents[1]
FROZEN = json.loads((Path(__file__).parent / "frozen.json").read_text(encoding="utf-8"))
KINDS = ("predictors", "hw_tables", "leaderboards")


def test_every_artefact_is_listed():
    present = {
        str(card.parent.relative_to(ROOT).as_posix()) for kind in KINDS for card in (ROOT / kind).glob("*/card.md")
    }
    assert present == set(FROZEN)


@pytest.mark.parametrize("folder", sorted(FROZEN))
def test_artefact_is_as_published(folder):
    found = {
        p.relative_to(ROOT / folder).as_posix(): artifacts.sha256(p) for p in (ROOT / folder).rglob("*") if p.is_file()
    }
    found.pop("card.md")  # an old card may gain superseded_by
    assert found == FROZEN[folder]


@pytest.mark.parametrize("folder", sorted(FROZEN))
def test_card_tells_where_the_artefact_comes_from(folder):
    card = artifacts.read_card(ROOT / folder)
    assert card["id"] == folder.partition("/")[2]
    for field in ("kind", "command", "date", "versions", "superseded_by"):
        assert field in card
    assert card.get("objective") or card.get("objectives")
    assert card["command"].endswith(f"{folder}/spec.yaml")
