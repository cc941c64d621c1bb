"""Checks on values where reading one would make the host wait: flags, read together later."""

from __future__ import annotations

import fakecupy
import numpy as np
import pytest

import minidl
from minidl import checks


def on_gpu(*holds: bool):
    """A condition as a GPU holds it: nobody knows it until it is read."""
    return fakecupy.asarray(np.array(holds))


def test_flags_wait_and_are_read_with_the_next_number(gpu):
    with fakecupy.forbid_sync():
        checks.require(on_gpu(True), "never said")
        checks.require(on_gpu(True, False), "labels out of range")      # says nothing yet
    with pytest.raises(ValueError, match=r"^labels out of range \(found on the GPU some"):
        minidl.tensor(1.0).item()
    assert minidl.tensor(1.0).item() == 1.0                             # each is said once


def test_all_flags_are_read_in_one_transfer(gpu):
    for _ in range(9):
        checks.require(on_gpu(True), "never said")
    with fakecupy.counting() as count:
        checks.raise_pending()
        checks.raise_pending()                                          # nothing is left to read
    assert count.syncs == count.downloads == 1


def test_a_flag_names_the_step_it_was_left_in(gpu):
    for step in (11, 12, 13):
        with checks.during(step):
            checks.require(on_gpu(step < 12), "labels out of range")
    with pytest.raises(ValueError, match="^step 12: labels out of range$"):
        checks.raise_pending()
    checks.raise_pending()


def test_flags_that_nobody_reads_become_few(gpu):
    """A thousand steps whose losses are never read: the flags of one check become one."""
    with fakecupy.forbid_sync():
        for step in range(1, 1001):
            with checks.during(step):
                checks.require(on_gpu(True), "never said")
                checks.require(on_gpu(step != 700), "labels out of range")
    assert len(checks._thread.pending) < checks.MOST_FLAGS
    with pytest.raises(ValueError, match=r"^one of the steps 1 to \d+: labels out of range$"):
        checks.raise_pending()
    assert not checks._thread.pending


def test_on_the_cpu_a_wrong_value_raises_at_once():
    with pytest.raises(ValueError, match="^now$"):
        checks.require(minidl.tensor([True, False]).data, "now")
    with checks.during(3), pytest.raises(ValueError, match="^step 3: now$"):
        checks.require(minidl.tensor([True, False]).data, "now")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64"])
@pytest.mark.parametrize("classes", [1, 10, 127, 128, 255, 256, 1000])
def test_labels_are_judged_alike_on_both_devices(dtype, classes, gpu):
    """By one comparison without a sign on the GPU, by the smallest and the largest on the CPU."""
    limits = np.iinfo(dtype)
    for value in {0, 1, -1, classes - 1, classes, limits.min, limits.max}:
        if not limits.min <= value <= limits.max:
            continue
        index = np.array([0, value], dtype)
        for array in (index, gpu.asarray(index)):
            with fakecupy.counting() as count:
                if 0 <= value < classes:
                    checks.labels("op", array, classes)
                    checks.raise_pending()
                else:
                    with pytest.raises(ValueError, match=(
                            rf"^op: class numbers must be in \[0, {classes - 1}\]"
                            + (f"; found {value}$" if array is index else r" \(found on the GPU"))):
                        checks.labels("op", array, classes)
                        checks.raise_pending()
            assert count.launches == (0 if array is index else 3)      # compare, all; and stack
