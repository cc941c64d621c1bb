"""Tests of the tests: the stand-in for CuPy catches a planted error of each kind, counts right, and
on programs without errors gives NumPy's numbers."""

from __future__ import annotations

import copy
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import fakecupy
import numpy as np
import pytest
from fakecupy import HiddenSync, OutOfMemoryError, Violation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minidl
from minidl import device


@pytest.fixture
def g(gpu):
    """Six numbers on the device."""
    return gpu.asarray(np.arange(6, dtype=np.float32) + 1)


h = np.arange(6, dtype=np.float32)                # six numbers on the host
where_h = np.array([0, 2])


def test_minidl_finds_the_fake_gpu_and_loses_it_again():
    before = {name: module for name, module in sys.modules.items() if name.startswith("cupy")}
    problem = minidl.cuda.cuda_problem()
    with fakecupy.installed() as cupy:
        import cupy as imported
        import cupyx.scipy.special
        assert imported is cupy is sys.modules["cupy"]
        assert cupyx.scipy.special.erf is fakecupy.functions.erf
        assert minidl.cuda.cuda_problem() is None
        assert minidl.tensor([1.0]).to("cuda").device == "cuda:0"
        assert device.resolve("auto") == "cuda:0"
    after = {name: module for name, module in sys.modules.items() if name.startswith("cupy")}
    assert after.items() >= before.items()
    assert not set(after.values()) & set(fakecupy.MODULES.values())
    assert minidl.cuda.cuda_problem() == problem


# --------------------------------------------------------------------------- planted errors
WRONG = {
    # arrays of the host among arrays of the device
    "device + host": (TypeError, lambda xp, g: g + h),
    "host + device": (TypeError, lambda xp, g: h + g),
    "device + 0-d host": (TypeError, lambda xp, g: g + np.array(2.0)),
    "device + host of one number": (TypeError, lambda xp, g: g + np.ones(1, np.float32)),
    "device == host": (TypeError, lambda xp, g: g == h),
    "device += host": (TypeError, lambda xp, g: g.__iadd__(h)),
    "device @ host": (TypeError, lambda xp, g: g @ h),
    "xp.exp(host)": (TypeError, lambda xp, g: xp.exp(h)),
    "xp.maximum(device, host)": (TypeError, lambda xp, g: xp.maximum(g, h)),
    "xp.where(device, device, host)": (TypeError, lambda xp, g: xp.where(g > 2, g, h)),
    "xp.where(host, device, device)": (TypeError, lambda xp, g: xp.where(h > 2, g, g)),
    "xp.concatenate of both": (TypeError, lambda xp, g: xp.concatenate([g, h])),
    "xp.stack of both": (TypeError, lambda xp, g: xp.stack([g, h])),
    "xp.zeros_like(host)": (TypeError, lambda xp, g: xp.zeros_like(h)),
    "xp.broadcast_to(host)": (TypeError, lambda xp, g: xp.broadcast_to(h, (2, 6))),
    "clip between host arrays": (TypeError, lambda xp, g: g.clip(h, None)),
    "out= on the host": (TypeError, lambda xp, g: xp.exp(g, out=h)),
    "device[:] = host": (Violation, lambda xp, g: g.__setitem__(slice(None), h)),
    "device[indices] = host": (Violation, lambda xp, g: g.__setitem__(xp.asarray(where_h), h[:2])),
    "device[host]": (Violation, lambda xp, g: g[where_h]),
    "device[host mask]": (Violation, lambda xp, g: g[h > 2]),
    "device[..., host]": (Violation, lambda xp, g: g[..., where_h]),
    "take at a host array": (Violation, lambda xp, g: g.take(where_h)),
    "add.at a host array": (Violation, lambda xp, g: xp.add.at(g, where_h, 1)),
    # NumPy's functions on arrays of the device
    "np.exp": (Violation, lambda xp, g: np.exp(g)),
    "np.add": (Violation, lambda xp, g: np.add(g, g)),
    "np.sum": (Violation, lambda xp, g: np.sum(g)),
    "np.where": (Violation, lambda xp, g: np.where(g > 2, g, 0)),
    "np.shape": (Violation, lambda xp, g: np.shape(g)),
    "np.asarray": (TypeError, lambda xp, g: np.asarray(g)),
    "np.array of a list of them": (TypeError, lambda xp, g: np.array([g, g])),
    # what the real CuPy does not have
    "xp.errstate": (AttributeError, lambda xp, g: xp.errstate(all="ignore")),
    "xp.nditer": (AttributeError, lambda xp, g: xp.nditer(g)),
    "xp.random": (AttributeError, lambda xp, g: xp.random.default_rng().normal()),
    "xp.max(initial=)": (TypeError, lambda xp, g: xp.max(g, initial=0)),
    "sum(where=)": (TypeError, lambda xp, g: g.sum(where=g > 2)),
    "var(correction=)": (TypeError, lambda xp, g: g.var(correction=1)),
    "exp(where=)": (TypeError, lambda xp, g: xp.exp(g, where=g > 2)),
    "astype(casting=)": (TypeError, lambda xp, g: g.astype("f8", casting="safe")),
    "flags.writeable": (AttributeError, lambda xp, g: g.flags.writeable),
    "an index of the host's Python": (TypeError, lambda xp, g: range(g.sum())),
    "add.at of int64": (TypeError, lambda xp, g: xp.add.at(xp.arange(3), xp.arange(2), 1)),
    "subtract.at": (NotImplementedError, lambda xp, g: xp.subtract.at(g, xp.arange(2), 1)),
    "asarray of objects": (ValueError, lambda xp, g: xp.asarray(np.array(["a"]))),
    "set of another dtype": (TypeError, lambda xp, g: g.set(h.astype("f8"))),
    # what it leaves undefined, or wraps
    "index out of range": (Violation, lambda xp, g: g[xp.asarray([0, 6])]),
    "assignment out of range": (Violation, lambda xp, g: g.__setitem__(xp.asarray([-7]), 0)),
    "take out of range": (Violation, lambda xp, g: g.take(xp.asarray([6]))),
    "assignment to one element twice": (
        Violation, lambda xp, g: g.__setitem__(xp.asarray([1, 1]), xp.asarray([2.0, 3.0]))),
    "-6 and 0 are one element": (Violation, lambda xp, g: g.__setitem__(xp.asarray([0, -6]), 1)),
    "arange up to a number on the device": (Violation, lambda xp, g: xp.arange(g.max())),
    "writing a broadcast view": (
        ValueError, lambda xp, g: xp.broadcast_to(g, (2, 6)).__setitem__(0, 1)),
    # what NumPy refuses too
    "an integer out of range": (IndexError, lambda xp, g: g[6]),
    "an index of floats": (IndexError, lambda xp, g: g[g]),
    "shapes": (ValueError, lambda xp, g: g + xp.ones(5)),
    "truth of several": (ValueError, lambda xp, g: bool(g)),
    "item of several": (ValueError, lambda xp, g: g.item()),
    "len of a number": (TypeError, lambda xp, g: len(g.sum())),
    "integers += floats": (TypeError, lambda xp, g: xp.arange(6).__iadd__(g)),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_planted_error_is_caught(gpu, g, name):
    error, wrong = WRONG[name]
    with pytest.raises(error):
        wrong(gpu, g)


def test_a_violation_is_no_error_that_a_program_catches():
    assert not issubclass(Violation, (ValueError, TypeError, RuntimeError, LookupError))


def test_an_unknown_name_says_where_to_look(gpu):
    with pytest.raises(AttributeError, match="tests/fakecupy.*'no_such_name'.*real CuPy"):
        print(gpu.cuda.no_such_name)


def test_indices_wrap_where_a_test_asks_for_it(gpu, g):
    with fakecupy.wrapping_indices():
        assert g[gpu.asarray([7, -8])].tolist() == [2.0, 5.0]


def test_memory_that_nobody_wrote_is_poisoned(gpu, g):
    assert np.isnan(gpu.empty((2, 2), "f4").get()).all()
    assert np.isnan(gpu.empty_like(g).get()).all()
    assert np.isnan(gpu.ndarray((3,), "f8").get()).all()
    assert (gpu.empty(3, "i4").get() == 2**31 - 1).all()
    assert gpu.empty(3, "u1").get().tolist() == [255] * 3


# --------------------------------------------------------------------------- waiting
SYNCS = {
    "get": lambda xp, g: g.get(),
    "asnumpy": lambda xp, g: xp.asnumpy(g),
    "item": lambda xp, g: g.sum().item(),
    "tolist": lambda xp, g: g.tolist(),
    "float": lambda xp, g: float(g.sum()),
    "int": lambda xp, g: int(g.sum()),
    "bool": lambda xp, g: bool(g.any()),
    "if": lambda xp, g: 1 if g.sum() > 3 else 0,
    "print": lambda xp, g: str(g),
    "repr": lambda xp, g: repr(g),
    "format": lambda xp, g: f"{g.sum():.3f}",
    "nonzero": lambda xp, g: g.nonzero(),
    "argwhere": lambda xp, g: xp.argwhere(g),
    "where of one argument": lambda xp, g: xp.where(g > 2),
    "reading a mask": lambda xp, g: g[g > 2],
    "assigning to a mask": lambda xp, g: g.__setitem__(g > 2, 0),
    "add.at a mask": lambda xp, g: xp.add.at(g, g > 2, 1),
    "unique": lambda xp, g: xp.unique(g),
    "synchronize": lambda xp, g: xp.cuda.get_current_stream().synchronize(),
    "Device.synchronize": lambda xp, g: xp.cuda.Device(0).synchronize(),
}


@pytest.mark.parametrize("name", SYNCS)
def test_waiting_for_the_device_is_counted_and_can_be_forbidden(gpu, g, name):
    with fakecupy.counting() as count:
        SYNCS[name](gpu, g)
    assert count.syncs == 1
    with pytest.raises(HiddenSync), fakecupy.forbid_sync():
        SYNCS[name](gpu, g)
    SYNCS[name](gpu, g)                              # allowed again


# --------------------------------------------------------------------------- counts
COUNTS = {          # (launches, syncs, uploads, downloads)
    "views": ((0, 0, 0, 0), lambda xp, g: (
        g.reshape(2, 3), g.reshape(2, 3).T, g[1:4], g[None], g[2], xp.broadcast_to(g, (4, 6)),
        g.squeeze(), xp.expand_dims(g, 0), xp.flip(g), g.view("i4"), xp.empty(3), xp.empty_like(g),
        xp.lib.stride_tricks.as_strided(g, (4, 3), (4, 4)))),
    "an elementwise function": ((1, 0, 0, 0), lambda xp, g: xp.exp(g)),
    "with a number": ((1, 0, 0, 0), lambda xp, g: 2 * g),
    "three operations": ((3, 0, 0, 0), lambda xp, g: (g * g + 1) / g),
    "a reduction": ((1, 0, 0, 0), lambda xp, g: g.sum()),
    "a variance": ((2, 0, 0, 0), lambda xp, g: g.var()),
    "a fill": ((1, 0, 0, 0), lambda xp, g: xp.zeros(3)),
    "a fill through a view": ((1, 0, 0, 0), lambda xp, g: g.__setitem__(slice(1, 3), 0)),
    "a copy": ((1, 0, 0, 0), lambda xp, g: g.copy()),
    "another dtype": ((1, 0, 0, 0), lambda xp, g: g.astype("f8")),
    "its own dtype": ((0, 0, 0, 0), lambda xp, g: g.astype("f4", copy=False)),
    "a reshape that copies": ((1, 0, 0, 0), lambda xp, g: g.reshape(2, 3).T.reshape(6)),
    "a matrix product": ((1, 0, 0, 0), lambda xp, g: g.reshape(2, 3) @ g.reshape(2, 3).T),
    "of a slice: a copy first": ((2, 0, 0, 0), lambda xp, g: (
        g.reshape(2, 3)[:, ::2] @ g[:2].reshape(2, 1))),
    "of batches, transposed: copies first": ((2, 0, 0, 0), lambda xp, g: (
        g.reshape(1, 2, 3) @ g.reshape(1, 2, 3).swapaxes(1, 2))),
    "of batches that broadcast: three arrays of pointers": ((4, 0, 0, 0), lambda xp, g: (
        g.reshape(2, 3, 1) @ g[:2].reshape(1, 1, 2))),
    "adding in place to a part": ((1, 0, 0, 0), lambda xp, g: exec("g[1:3] += 1")),
    "one array of indices": ((1, 0, 1, 0), lambda xp, g: g[xp.asarray([1, 2])]),
    "two arrays of indices, made here": ((6, 0, 0, 0), lambda xp, g: (
        g.reshape(2, 3)[xp.zeros(3, int), xp.arange(3)])),
    "a list of indices": ((1, 0, 1, 0), lambda xp, g: g[[1, 2]]),
    "a number into indices": ((1, 0, 2, 0), lambda xp, g: g.__setitem__(xp.asarray([1, 2]), 5)),
    "from the host": ((0, 0, 1, 0), lambda xp, g: xp.asarray(h)),
    "a number from the host": ((0, 0, 1, 0), lambda xp, g: xp.asarray(1.5)),
    "set": ((0, 0, 1, 0), lambda xp, g: g.set(h)),
    "to the host": ((0, 1, 0, 1), lambda xp, g: g.get()),
    "transposed to the host": ((1, 1, 0, 1), lambda xp, g: g.reshape(2, 3).T.get()),
    "what only waits": ((0, 1, 0, 0), lambda xp, g: xp.cuda.get_current_stream().synchronize()),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts(gpu, g, name):
    expected, program = COUNTS[name]
    with fakecupy.counting() as count:
        program(gpu, g)
    assert (count.launches, count.syncs, count.uploads, count.downloads) == expected, count


def test_blocks_of_counting_nest_and_count_by_name(gpu, g):
    with fakecupy.counting() as outer:
        g + 1
        with fakecupy.counting() as inner:
            g * g + 1
    g + 1
    assert inner.calls == {"cupy_multiply": 1, "cupy_add": 1}
    assert outer.calls == {"cupy_multiply": 1, "cupy_add": 2}


# --------------------------------------------------------------------------- memory
def test_memory_is_in_use_as_long_as_an_array_sees_it(gpu):
    pool = gpu.get_default_memory_pool()
    before = pool.used_bytes()
    whole = gpu.zeros(1000, "f4")
    part = whole[:10].reshape(2, 5).T
    assert pool.used_bytes() - before == 4096         # in steps of 512
    assert part.base is whole and whole.base is None
    del whole
    assert pool.used_bytes() - before == 4096
    del part
    assert pool.used_bytes() == before


def test_memory_runs_out_where_a_test_limits_it(gpu):
    with fakecupy.memory_limit(2048):
        kept = gpu.zeros(256, "f4")
        with pytest.raises(OutOfMemoryError, match="allocating 2,048 bytes.*limit set to"):
            gpu.zeros(512, "f4")
        del kept
        gpu.zeros(512, "f4")
    assert issubclass(OutOfMemoryError, MemoryError)
    assert gpu.cuda.memory.OutOfMemoryError is OutOfMemoryError


def test_memory_order_is_cupys(gpu, g):
    t = g.reshape(2, 3).T
    assert not t.flags.c_contiguous and t.flags.f_contiguous
    assert (t + 1).flags.c_contiguous                 # NumPy would keep the operand's order
    assert (t + 1).strides == (8, 4)
    assert t.copy().flags.c_contiguous and t.copy(order="K").strides == t.strides
    assert t.astype("f8").strides == (8, 24)
    assert gpu.empty_like(t).strides == gpu.zeros_like(t).strides == t.strides
    assert gpu.asarray(np.zeros((2, 3)).T).flags.f_contiguous
    assert gpu.asarray(np.zeros((2, 3, 4)).transpose(1, 0, 2)).flags.c_contiguous


# --------------------------------------------------------------------------- two GPUs
@pytest.fixture
def two():
    with fakecupy.installed(gpus=2) as cupy:
        yield cupy


def test_an_array_remembers_its_gpu(two):
    a = two.asarray(h)
    assert two.cuda.runtime.getDeviceCount() == 2 and a.device.id == 0
    with two.cuda.Device(1) as device:
        assert two.cuda.runtime.getDevice() == two.cuda.get_device_id() == device.id == 1
        b = two.asarray(h)
        assert (b.device.id, b[1:].device.id, (b + 1).device.id) == (1, 1, 1)
        assert two.cuda.Device() == device
    assert two.cuda.runtime.getDevice() == 0 and b.data.device_id == 1
    two.cuda.Device(1).use()
    assert two.zeros(3).device.id == 1


def test_the_current_gpu_is_the_threads(two):
    two.cuda.Device(1).use()
    with ThreadPoolExecutor(1) as other:
        assert other.submit(two.cuda.runtime.getDevice).result() == 0
    assert two.cuda.runtime.getDevice() == 1


@pytest.mark.parametrize("number", [-1, 2])
def test_a_gpu_that_is_not_there(two, number):
    with pytest.raises(fakecupy.CUDARuntimeError, match="invalid device ordinal"):
        two.cuda.Device(number).use()
    assert two.cuda.runtime.getDevice() == 0


ELSEWHERE = {
    "an operation": lambda xp, g, here: here + g,
    "with a number": lambda xp, g, here: g * 2,
    "in place": lambda xp, g, here: here.__iadd__(g),
    "out=": lambda xp, g, here: xp.exp(here, out=g),
    "a reduction": lambda xp, g, here: g.sum(),
    "a product": lambda xp, g, here: here @ g,
    "another dtype": lambda xp, g, here: g.astype("f8"),
    "a reshape that copies": lambda xp, g, here: g.reshape(2, 3).T.reshape(6),
    "a fill": lambda xp, g, here: g.fill(1),
    "an assignment": lambda xp, g, here: g.__setitem__(0, 1),
    "an assignment of it": lambda xp, g, here: here.__setitem__(slice(None), g),
    "indices": lambda xp, g, here: here[xp.asarray([0])] + g[xp.asarray([0])],
    "indices of another GPU": lambda xp, g, here: here[g > 2],
    "concatenate": lambda xp, g, here: xp.concatenate([here, g]),
    "where": lambda xp, g, here: xp.where(here > 2, here, g),
    "copyto": lambda xp, g, here: xp.copyto(here, g),
    "from the host into it": lambda xp, g, here: g.set(h),
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_work_on_an_array_of_another_gpu_is_a_violation(two, name):
    with two.cuda.Device(1):
        there = two.asarray(h)
    with pytest.raises(Violation, match="an array of GPU 1 where GPU 0 is the current one"):
        ELSEWHERE[name](two, there, two.asarray(h))


def test_what_may_be_done_with_an_array_of_another_gpu(two):
    with two.cuda.Device(1):
        there = two.asarray(h)
    view = there.reshape(2, 3).T
    assert view.device.id == 1 and view.shape == (3, 2) and there.nbytes == 24
    assert there.tolist() == h.tolist() and float(there[2]) == 2
    np.testing.assert_array_equal(view.get(), h.reshape(2, 3).T)
    for moved in (there.copy(), two.asarray(there), view.copy(), two.zeros_like(there)):
        assert moved.device.id == 0
    assert view.copy().tolist() == h.reshape(2, 3).T.tolist()
    assert view.copy(order="K").strides == view.strides
    with pytest.raises(NotImplementedError, match="non-contiguous"):
        there[::2].copy(order="K")
    assert copy.deepcopy(there).device.id == 1
    assert two.asarray(there, dtype="f8").dtype == "f8"


def test_each_gpu_has_its_own_memory(two):
    pool, total = two.get_default_memory_pool(), two.cuda.runtime.memGetInfo()[1]
    before = pool.used_bytes()
    with two.cuda.Device(1), fakecupy.memory_limit(4096):
        kept = two.zeros(1024, "f4")
        assert pool.used_bytes() >= 4096 and two.cuda.runtime.memGetInfo()[0] == 0
        with pytest.raises(OutOfMemoryError):
            two.zeros(1, "f4")
    assert pool.used_bytes() == before and two.zeros(4096).size == 4096
    assert two.cuda.runtime.memGetInfo()[1] == total
    with two.cuda.Device(1):
        used = pool.used_bytes()
        del kept
        assert used - pool.used_bytes() == 4096


def test_a_kernel_launched_with_an_array_of_another_gpu(two):
    cuda_on_cpu = pytest.importorskip("cuda_on_cpu")
    if cuda_on_cpu.problem():
        pytest.skip(cuda_on_cpu.problem())
    source = 'extern "C" __global__ void one(REAL* x) { x[0] = 1; }'
    kernel = two.RawModule(code=source, options=("-DREAL=float",)).get_function("one")
    x = two.asarray(h)
    with two.cuda.Device(1):
        with pytest.raises(Violation, match="GPU 0 where GPU 1"):
            kernel((1,), (1,), (x,))
        y = two.asarray(h)
        kernel((1,), (1,), (y,))
    assert x.tolist() == h.tolist() and y.tolist() == [1, *h[1:]]


# --------------------------------------------------------------------------- legal programs
def test_results_are_arrays_on_the_device_of_numpys_dtypes(gpu, g):
    n = np.arange(6, dtype=np.float32) + 1
    for f in (lambda a: a.sum(), lambda a: a[2], lambda a: a.mean(), lambda a: a * 2.0,
              lambda a: a * np.float64(2), lambda a: np.float32(2) * a, lambda a: a > 2,
              lambda a: a.argmax(), lambda a: (a > 2).sum(), lambda a: a.astype(int) / 2,
              lambda a: a.astype(int) // 2, lambda a: a.all(), lambda a: 1 - a, lambda a: -a):
        found, expected = f(g), f(n)
        assert type(found) is gpu.ndarray
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(found.get(), expected)


def test_an_element_is_a_view(gpu, g):
    g[2][...] = 9
    assert g.tolist() == [1, 2, 9, 4, 5, 6]


def test_a_tensor_takes_the_operator_for_itself(gpu, g):
    t = minidl.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], device="cuda")
    for made in (g + t, t + g, g * t, g @ t.reshape(6, 1)):
        assert isinstance(made, minidl.Tensor) and made.device == "cuda:0"


# Each takes the library and two arrays of shape (3, 4), and gives one of that shape.
STEPS = [
    lambda xp, a, b: a + b, lambda xp, a, b: a - 2 * b, lambda xp, a, b: a * b / 4,
    lambda xp, a, b: -a, lambda xp, a, b: abs(a), lambda xp, a, b: xp.tanh(a) + 0.5,
    lambda xp, a, b: xp.maximum(a, b), lambda xp, a, b: xp.where(a > b, a, 0),
    lambda xp, a, b: a.T.reshape(3, 4), lambda xp, a, b: a[::-1], lambda xp, a, b: xp.flip(a, 1),
    lambda xp, a, b: a - a.mean(axis=0), lambda xp, a, b: a / (1 + abs(b).max(axis=1)[:, None]),
    lambda xp, a, b: a - b.sum(), lambda xp, a, b: xp.tanh(a @ b.T @ a),
    lambda xp, a, b: a[xp.arange(3) % 2], lambda xp, a, b: a[:, [3, 0, 0, 1]],
    lambda xp, a, b: a[xp.arange(3)[:, None], xp.argsort(b[:1], axis=1)],
    lambda xp, a, b: xp.take_along_axis(a, xp.argmax(b, axis=1)[:, None], 1) + b,
    lambda xp, a, b: xp.concatenate([a[:1], b[1:]]), lambda xp, a, b: xp.stack([a, b]).sum(0),
    lambda xp, a, b: xp.moveaxis(xp.stack([a, b], 1), 1, 0)[1], lambda xp, a, b: a.clip(-1, 0.5),
    lambda xp, a, b: xp.lib.stride_tricks.as_strided(a.copy(), (3, 4), (8, 8)),
    lambda xp, a, b: xp.broadcast_to(a[0], (3, 4)), lambda xp, a, b: xp.cumsum(a, axis=1) / 4,
    lambda xp, a, b: _changed(a, lambda c: c.__iadd__(b)),
    lambda xp, a, b: _changed(a, lambda c: c.__setitem__(slice(1, 2), b[:1])),
    lambda xp, a, b: _changed(a, lambda c: c.__setitem__((xp.arange(2), xp.arange(2)), 1.5)),
    lambda xp, a, b: _changed(a, lambda c: c.__setitem__(b > 0, -1)),
    lambda xp, a, b: _changed(a, lambda c: xp.add.at(c, xp.asarray([0, 2, 0]), b)),
]


def _changed(a, change):
    copy = a.copy()
    change(copy)
    return copy


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=st.lists(st.tuples(*[st.integers(0, len(STEPS) - 1)] * 3), min_size=1, max_size=8),
       seed=st.integers(0, 99), dtype=st.sampled_from(["f4", "f8"]))
def test_programs_without_errors_give_numpys_numbers(gpu, program, seed, dtype):
    start = np.random.default_rng(seed).normal(size=(2, 3, 4)).astype(dtype)
    hosts, devices = list(start), [gpu.asarray(a) for a in start]
    for step, i, j in program:
        i, j = i % len(hosts), j % len(hosts)
        hosts.append(STEPS[step](np, hosts[i], hosts[j]))
        devices.append(STEPS[step](gpu, devices[i], devices[j]))
        assert hosts[-1].dtype == devices[-1].dtype
        rtol = 1e-4 if dtype == "f4" else 1e-12
        np.testing.assert_allclose(devices[-1].get(), hosts[-1], rtol, rtol)


# --------------------------------------------------------------------------- the real CuPy
needs_cupy = pytest.mark.skipif(fakecupy.real_cupy() is None,
                                reason="CuPy is not installed: names are not compared with its own")


@needs_cupy
def test_every_name_and_parameter_is_cupys():
    real = fakecupy.real_cupy()
    assert fakecupy.differences(fakecupy.cupy, real) == []
    compared = [name for name in vars(fakecupy.ndarray)
                if name[0] != "_" and fakecupy.signatures.parameters(getattr(real.ndarray, name))]
    assert len(compared) > 30                          # their docstrings were understood
    assert {"sum", "astype", "reshape", "get"} <= set(compared)


@needs_cupy
def test_a_planted_difference_from_the_real_one_is_found():
    real = fakecupy.real_cupy()
    own = SimpleNamespace(errstate=1, max=lambda a, axis=None, out=None, initial=0: 0,
                          take=lambda a, axis=None, indices=None: 0)
    assert fakecupy.differences(own, real) == [
        "cupy.errstate does not exist", "cupy.max has no parameter 'initial'",
        "cupy.take: the parameters are ['a', 'indices', 'axis', 'out'], not "
        "['a', 'axis', 'indices']"]


# --------------------------------------------------------------------------- kernels
def test_a_kernel_of_a_raw_module_runs_and_counts_as_one_launch(gpu, g):
    cuda_on_cpu = pytest.importorskip("cuda_on_cpu")
    if cuda_on_cpu.problem():
        pytest.skip(cuda_on_cpu.problem())
    source = """
        extern "C" __global__ void scaled(const REAL* x, REAL* y, REAL factor, int count) {
            int i = blockIdx.x * blockDim.x + threadIdx.x;
            if (i < count) y[i] = factor * x[i];
        }"""
    kernel = gpu.RawModule(code=source, options=("-DREAL=float",)).get_function("scaled")
    y = gpu.empty_like(g)
    with fakecupy.counting() as count:
        kernel((2,), (4,), (g, y, np.float32(3), np.int32(6)))
    assert y.tolist() == [3, 6, 9, 12, 15, 18]
    assert count.calls == {"scaled": 1} and count.launches == 1
    with pytest.raises(Violation, match="scaled: a NumPy array"):
        kernel((2,), (4,), (h, y, np.float32(3), np.int32(6)))
