"""Run folders damaged at random: see damage.py."""

from __future__ import annotations

import pytest
from damage import Hunt, cheap


@pytest.mark.parametrize("damages", [40, pytest.param(600, marks=pytest.mark.slow)])
def test_damages_are_told_or_harmless(damages, tmp_path):
    with cheap():
        found = Hunt(tmp_path, seed=damages).hunt(damages)
    assert set(found) == {"refused", "told", "harmless"} and found["refused"] > damages / 4
