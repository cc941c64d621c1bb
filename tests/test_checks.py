"""Checks on values where reading one would make the host wait: flags, read together later."""

from __future__ import annotations

import pytest

import minidl
from minidl import checks


class OnDevice:
    """A condition as a GPU holds it: ``all()`` is no bool of Python or NumPy, until it is read."""

    def __init__(self, holds: bool):
        self.holds = holds

    def all(self):
        return self

    def __bool__(self):
        return self.holds


def test_flags_wait_and_are_read_with_the_next_number():
    checks.require(OnDevice(True), "never said")
    checks.require(OnDevice(False), "labels out of range")      # says nothing yet
    with pytest.raises(ValueError, match="^labels out of range$"):
        minidl.tensor(1.0).item()
    assert minidl.tensor(1.0).item() == 1.0                     # each is said once


def test_a_flag_names_the_step_it_was_read_at():
    checks.require(OnDevice(False), "labels out of range")
    with pytest.raises(ValueError, match="^step 30: labels out of range$"):
        checks.raise_pending(30)
    checks.raise_pending(31)


def test_without_a_device_a_wrong_value_raises_at_once():
    with pytest.raises(ValueError, match="now"):
        checks.require(minidl.tensor([True, False]).data, "now")
