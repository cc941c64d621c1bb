"""Runs killed at random and at chosen moments, in processes of their own: see kills.py.

    python -m pytest tests/test_kills.py --hunt
"""

from __future__ import annotations

import os

import pytest
from kills import Hunt, few_digits

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by SIGKILL")


@pytest.mark.hunt
def test_a_run_that_is_killed_comes_to_the_same_numbers(tmp_path, rounds):
    kills = rounds(12, 200)
    (tmp_path / "digits").mkdir()
    found = Hunt(tmp_path, few_digits(tmp_path / "digits"), seed=kills).run(kills)
    assert sum(found.values()) - found.get("never killed", 0) == kills


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "gan", "vae"])
@pytest.mark.parametrize(("aim", "number"), [("open", 1), ("open", 2), ("rename", 1), ("sync", 1),
                                             ("sync", 2), ("lock", 1)])
def test_a_run_that_is_killed_before_its_first_checkpoint_begins_again(model, aim, number,
                                                                       tmp_path):
    (tmp_path / "digits").mkdir()
    hunt = Hunt(tmp_path, few_digits(tmp_path / "digits"), 0)
    hunt.plan = [(aim, number)]
    assert hunt.kill(model, 1) in ("started again", "begun by --resume")
