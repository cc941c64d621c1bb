"""What a training step may cost on a GPU, counted on the stand-in for CuPy: kernels started, waits
for the device, copies to and from it. A small network's step is as long as its launches."""

from __future__ import annotations

import cuda_on_cpu
import fakecupy
import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.training.config import config_for
from minidl.training.job import Job

pytestmark = pytest.mark.skipif(cuda_on_cpu.problem() is not None,
                                reason=str(cuda_on_cpu.problem()))

LAUNCHES = {"cnn": 62, "gan": 441, "vae": 143}      # of one step: D1-CNN's is a promise, the others
                                                    # are what they are, and must not grow unseen


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_step_keeps_its_budget(gpu, name):
    job = Job(config_for(name, quick=True, batch_size=4), "cuda")
    batch = next(iter(job.train_loader()))
    job.procedure.step(*batch)                      # the first makes states, and uploads numbers
    with fakecupy.forbid_sync(), fakecupy.counting() as count:
        job.procedure.step(*batch)
    assert count.launches <= LAUNCHES[name], count
    assert count.syncs == count.uploads == count.downloads == 0, count


def test_a_batch_is_gathered_on_the_device(gpu):
    job = Job(config_for("cnn", quick=True, batch_size=16), "cuda")
    batches = iter(job.train_loader())
    next(batches)                                   # the first uploads the data and the order
    with fakecupy.forbid_sync(), fakecupy.counting() as count:
        images, labels = next(batches)
    assert images.device == labels.device == "cuda:0"
    assert count.uploads == count.downloads == 0 and count.launches <= 5, count


def test_gradients_are_kept_and_not_copied(gpu):
    """A gradient that nobody else holds becomes the parameter's without a copy."""
    layer = nn.Linear(3, 2).to("cuda")
    x = minidl.tensor(np.ones((4, 3), np.float32), device="cuda")
    layer(x).sum().backward()
    layer.zero_grad()
    y = layer(x).sum()
    with fakecupy.counting() as count:
        y.backward()
    assert count.calls["setitem"] == count.calls["copy"] == 0, count


def test_the_count_sees_one_launch_more(gpu):
    """The test of the budgets: an op more is a launch more, a printed loss a wait."""
    x = minidl.tensor([1.0, 2.0], device="cuda")
    with fakecupy.counting() as before:
        x * x
    with fakecupy.counting() as after:
        float((x * x).sum())
    assert (before.launches, before.syncs) == (1, 0)
    assert (after.launches, after.syncs, after.downloads) == (3, 1, 1)      # the sum in float64
