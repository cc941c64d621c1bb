"""Run folders damaged at random: see damage.py."""

from __future__ import annotations

import pytest
from damage import Hunt, cheap


def test_damages_are_told_or_harmless(tmp_path):
    look_for(25, tmp_path)


@pytest.mark.hunt
def test_many_damages(tmp_path, rounds):
    look_for(rounds(300, 600), tmp_path)


def look_for(damages: int, tmp_path) -> None:
    with cheap():
        found = Hunt(tmp_path, seed=damages).hunt(damages)
    assert set(found) == {"refused", "told", "harmless"} and found["refused"] > damages / 4
