"""Choosing a device, moving arrays between devices, and what is said where there is no GPU."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import types

import fakecupy
import numpy as np
import pytest

import minidl
from minidl import device
from minidl.device import move, to_host

z = minidl.zeros


def test_no_cuda_says_why():
    """An explicit "cuda" raises with the reason; "auto" falls back."""
    reason = minidl.cuda.cuda_problem()
    if reason is None:
        pytest.skip("this machine has a working CUDA device")
    with pytest.raises(RuntimeError, match=re.escape(f'device: "cuda" cannot be used here: {reason}'
                                                     )):
        z(2).to("cuda")
    assert z(2).to("auto").device == "cpu"
    with pytest.raises(ValueError, match='device: expected "cpu", "cuda", "cuda:N" or "auto"'):
        minidl.device.resolve("gpu")


# --------------------------------------------------------------------------- why there is no GPU
class CUDARuntimeError(RuntimeError):
    """As CuPy's: the name of CUDA's error, and its text."""


def fails(error: Exception):
    def call(*args):
        raise error
    return call


def stand_in(devices=1, driver=13000, total=3) -> types.ModuleType:
    """As much of CuPy as the detection touches: an error in place of a number is raised."""
    cupy = types.ModuleType("cupy")
    answer = {name: fails(value) if isinstance(value, Exception) else lambda value=value: value
              for name, value in (("devices", devices), ("total", total))}
    array = types.SimpleNamespace(sum=answer["total"])
    cupy.arange = lambda n: array
    used = [0]
    cupy.cuda = types.SimpleNamespace(
        Device=lambda number: types.SimpleNamespace(use=lambda: used.append(number)),
        runtime=types.SimpleNamespace(
            getDevice=lambda: used[-1], getDeviceCount=answer["devices"],
            driverGetVersion=lambda: driver, runtimeGetVersion=lambda: 13020))
    return cupy


no_driver = CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
no_device = CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
REASONS = {
    "no CuPy": (None, "CuPy is not installed"),
    "no driver": (stand_in(no_driver, driver=0), "there is no NVIDIA driver; install it"),
    "an old driver": (stand_in(no_driver, driver=12040), "the NVIDIA driver is too old: it is made "
                      "for CUDA 12.4, this CuPy for 13.2; update the driver"),
    "no device": (stand_in(0), "there is a driver, but no GPU that it finds; `nvidia-smi`"),
    "no device, said so": (stand_in(no_device), "there is a driver, but no GPU that it finds"),
    "a lost device": (stand_in(CUDARuntimeError("cudaErrorUnknown: unknown error")),
                      "the GPU does not answer (CUDARuntimeError: cudaErrorUnknown: unknown"),
    "no headers": (stand_in(total=OSError("cannot open source file \"cuda_fp16.h\"")),
                   "a test kernel failed (OSError: cannot open source file"),
    "a full GPU": (stand_in(total=MemoryError("Out of memory allocating 512 bytes")),
                   "the GPU's memory is full (MemoryError: Out of memory allocating 512 bytes)"),
    "a wrong sum": (stand_in(total=0), "a test kernel gave a wrong result (0 + 1 + 2 = 0); look"),
}


@pytest.fixture
def detection(monkeypatch):
    """Detect again with the given module in CuPy's place; forget it afterwards."""
    def with_cupy(module, several=()):
        monkeypatch.setitem(sys.modules, "cupy", module)
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: [
            types.SimpleNamespace(metadata={"Name": name}) for name in ("numpy", *several)])
        minidl.cuda._cuda_problem_once.cache_clear()
    minidl.cuda._cuda_problem_once.cache_clear()
    yield with_cupy
    minidl.cuda._cuda_problem_once.cache_clear()


@pytest.mark.parametrize("case", REASONS)
def test_why_there_is_no_gpu(case, detection):
    """Every way in which CUDA may be missing is named, with what to do about it."""
    module, message = REASONS[case]
    detection(module)
    assert message in minidl.cuda.cuda_problem()
    assert "; " in minidl.cuda.cuda_problem()             # what is wrong; what to do
    assert minidl.device.resolve("auto") == "cpu"
    for name in ("cuda", "cuda:1"):
        with pytest.raises(RuntimeError, match=f'^device: "{name}" .*{re.escape(message)}.*"cpu"$'):
            z(2).to(name)


def test_a_gpu_that_works_has_no_problem_and_a_number(detection):
    detection(stand_in(devices=2))
    assert minidl.cuda.cuda_problem() is None
    assert {minidl.device.resolve(name) for name in ("auto", "cuda", "cuda:0")} == {"cuda:0"}
    with pytest.raises(RuntimeError, match='^device: "cuda:7" is not there: this machine has 2 GPUs'
                                           ", the first of which is cuda:0$"):
        minidl.device.resolve("cuda:7")


def test_the_gpu_asked_for_last_is_the_one_in_use(detection):
    detection(stand_in(devices=2))
    asked = ["cuda", "cuda:1", "cuda", "auto", "cpu", "cuda:0", "cuda"]
    assert [minidl.device.resolve(name) for name in asked] == [
        "cuda:0", "cuda:1", "cuda:1", "cuda:1", "cpu", "cuda:0", "cuda:0"]


def test_two_cupys_are_named_when_something_fails(detection):
    both = ("cupy-cuda12x", "cupy-cuda13x")
    detection(stand_in(total=OSError("undefined symbol")), both)
    assert minidl.cuda.cuda_problem() == (
        "several CuPy packages are installed (cupy-cuda12x, cupy-cuda13x); uninstall all of them, "
        "then install one")
    detection(stand_in(), both)
    assert minidl.cuda.cuda_problem() is None             # CuPy itself warns of them


def test_the_detection_is_made_once(detection):
    cupy = stand_in()
    made = []
    cupy.arange = lambda n: made.append(n) or types.SimpleNamespace(sum=lambda: 3)
    detection(cupy)
    for _ in range(3):
        minidl.device.resolve("cuda")
    assert made == [3]


# --------------------------------------------------------------------------- moving
LAYOUTS = {
    "in C order": lambda x: x,
    "channels last": lambda x: x.transpose(0, 3, 1, 2),
    "reversed axes": lambda x: x.transpose(3, 2, 1, 0),
    "every other": lambda x: x[:, ::2, :, 1:],
    "channels last, every other": lambda x: x.transpose(0, 3, 1, 2)[:, :, ::2],
    "backwards": lambda x: x[::-1, :, ::-1],
    "one number": lambda x: x[0, 0, 0, 0:1].reshape(()),
    "empty": lambda x: x[:, :0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_and_back_keeps_numbers_and_memory_order(layout, gpu):
    """Axes stand in memory in the same order on both devices, gaps aside: kernels rely on it."""
    x = LAYOUTS[layout](np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5))
    there = move(x, "cuda")
    back = to_host(there)
    assert type(there) is gpu.ndarray and type(back) is np.ndarray
    np.testing.assert_array_equal(back, x)
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    dense = x.transpose(order).copy().transpose([order.index(axis) for axis in range(x.ndim)])
    if x.size:
        assert there.strides == back.strides == dense.strides
    with fakecupy.counting() as count:
        assert move(there, "cuda") is there and move(x, "cpu") is x
        to_host(move(dense, "cuda"))
    assert (count.uploads, count.downloads, count.launches) == (1, 1, 0)


def test_a_copy_on_the_device_is_no_view_of_the_hosts_memory(gpu):
    x = np.zeros(3)
    there = move(x, "cuda")
    x[0] = 1
    assert to_host(there).tolist() == [0, 0, 0]


def test_names_of_the_device(gpu):
    assert {minidl.device.resolve(name) for name in ("cuda", "cuda:0", "auto")} == {"cuda:0"}
    assert z(2).to("auto").device == "cuda:0" and z(2, device="cuda").device == "cuda:0"
    with pytest.raises(RuntimeError, match='"cuda:3" is not there: this machine has 1 GPU,'):
        z(2).to("cuda:3")


# --------------------------------------------------------------------------- PyTorch's names
def test_cuda_without_a_gpu(monkeypatch):
    monkeypatch.setattr(minidl.cuda, "cuda_problem", lambda: "there is none; get one")
    assert not minidl.cuda.is_available() and minidl.cuda.device_count() == 0
    for ask in (minidl.cuda.synchronize, minidl.cuda.current_device):
        with pytest.raises(RuntimeError, match="there is none; get one; or take the device"):
            ask()


def test_cuda_with_a_gpu(gpu):
    assert minidl.cuda.is_available() and minidl.cuda.device_count() == 1
    assert minidl.cuda.current_device() == 0
    minidl.cuda.synchronize()
    x, layer = minidl.tensor([1.0]), minidl.nn.Linear(2, 3)
    assert not x.is_cuda
    for place in (None, 0, "cuda", "cuda:0"):
        assert x.cuda(place).is_cuda and layer.cuda(place).weight.device == "cuda:0"
    with pytest.raises(RuntimeError, match='"cuda:3" is not there'):
        x.cuda(3)


def test_without_cupy_and_driver_the_driver_comes_first(monkeypatch):
    def no_library(name):
        raise OSError(name)
    monkeypatch.setattr(minidl.cuda.ctypes, "CDLL", no_library)
    assert "nor is an NVIDIA driver" in minidl.cuda._and_no_driver()
    monkeypatch.setattr(minidl.cuda.ctypes, "CDLL", lambda name: object())
    assert minidl.cuda._and_no_driver() == ""


@pytest.mark.parametrize("mix", [
    lambda x, layer: layer(x),
    lambda x, layer: x @ layer.weight.T,
    lambda x, layer: minidl.functional.binary_cross_entropy_with_logits(x, x.to("cuda")),
    lambda x, layer: minidl.nn.Conv2d(1, 8, 3).cuda()(x.reshape(64, 1, 28, 28)),
], ids=["linear", "matmul", "bce", "conv"])
def test_mixtures_of_the_size_of_a_batch_are_named(gpu, mix):
    """Large enough that compiled kernels would take the host's part."""
    x, layer = minidl.ones(64, 784), minidl.nn.Linear(784, 128).cuda()
    with pytest.raises(TypeError, match="tensor of shape .* on cpu.* are on different devices|"
                                        "on cuda:0 and tensor .* are on different devices"):
        mix(x, layer)


def test_gradients_of_another_device_are_refused(gpu):
    x = minidl.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    with pytest.raises(TypeError, match="grad: .* different devices"):
        x.grad = minidl.ones(2)
    with pytest.raises(TypeError, match="backward: .* different devices"):
        (x * x).backward(minidl.ones(2))


def test_every_way_of_reading_tells_what_checks_found(gpu):
    x = minidl.tensor([[1.0, 2.0]], device="cuda")
    for read in (lambda t: t.item(), lambda t: t.numpy(), lambda t: t.tolist(),
                 lambda t: np.asarray(t), float):
        loss = minidl.functional.cross_entropy(x, minidl.tensor([2], device="cuda"))
        with pytest.raises(ValueError, match="class numbers must be in .* some operations ago"):
            read(loss)


# --------------------------------------------------------------------------- two GPUs
def test_optimisers_follow_from_one_gpu_to_another():
    with fakecupy.installed(gpus=2):
        layer = minidl.nn.Linear(3, 2).to("cuda:0")
        optimizer = minidl.optim.Adam(layer.parameters(), 0.1)
        for place in ("cuda:0", "cuda:1"):
            layer.to(place)
            optimizer.zero_grad()
            layer(minidl.ones(4, 3, device=place)).sum().backward()
            optimizer.step()
            for p in layer.parameters():
                arrays = [p.data, p.grad.data, *(v for v in optimizer.state[p].values()
                                                 if hasattr(v, "device"))]
                assert {device.device_of(a) for a in arrays} == {place} and len(arrays) == 4


def test_a_kernel_refuses_arrays_of_a_gpu_that_is_not_the_current_one():
    with fakecupy.installed(gpus=2):
        layer = minidl.nn.Linear(3, 2).to("cuda:0")
        optimizer = minidl.optim.SGD(layer.parameters(), 0.1)
        x, b = minidl.ones(4, 3, device="cuda:0"), minidl.ones(3, device="cuda:0")
        layer(x).sum().backward()
        minidl.device.resolve("cuda:1")
        with pytest.raises(RuntimeError, match="_sgd: an argument is on cuda:0, which is not the"):
            optimizer.step()
        with pytest.raises(RuntimeError, match="_bias_activation: an argument is on cuda:0"):
            minidl.functional.bias_activation(x, b, 0.0)


def test_mixtures_of_two_gpus_are_named():
    with fakecupy.installed(gpus=2):
        x, y = minidl.ones(3, device="cuda:0"), minidl.ones(3, device="cuda:1")
        with pytest.raises(TypeError, match="add: .* on cuda:0 and .* on cuda:1 are on different"):
            x + y
        with pytest.raises(TypeError, match="on cuda:1 and tensor .* on cuda:0 are on different"):
            x.to("cuda:1").requires_grad_().grad = x
