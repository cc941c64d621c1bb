"""Each CUDA kernel equals the readable function it replaces; the launcher refuses wrong calls.

The kernels of kernels.cu run here on the CPU (cuda_on_cpu.py), on the arrays of a stand-in for CuPy
(fakecupy), through the same launching code as on a GPU; every array lies between guard bytes.
"""

from __future__ import annotations

import math

import cuda_on_cpu
import fakecupy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optable import assert_close

import minidl
from minidl import kernels, nn, optim, random
from minidl.checks import draws
from minidl.device import to_host
from minidl.kernels.gpu import launch, twins
from minidl.ops import conv, counted, dropout, fused, loss, pool
from minidl.ops.windows import output_size, sides

pytestmark = pytest.mark.skipif(cuda_on_cpu.problem() is not None,
                                reason=str(cuda_on_cpu.problem()))
both_types = pytest.mark.parametrize("dtype", [np.float32, np.float64])

RNG = np.random.default_rng(0)
# Windows: size, kernel, stride, padding (a pair: before and after), dilation.
WINDOWS = [
    ((6, 5), (3, 3), (1, 1), (0, 0), (1, 1)),
    ((7, 8), (3, 2), (2, 3), (1, 1), (1, 1)),
    ((9, 9), (2, 3), (1, 2), ((1, 0), (2, 1)), (2, 2)),
    ((5, 6), (5, 4), (3, 1), (4, 3), (1, 2)),
    ((4, 4), (1, 1), (2, 2), (0, 0), (1, 1)),
]


@pytest.fixture(autouse=True)
def _guarded(gpu):
    minidl.device.resolve("cuda")                    # looks, with a kernel, whether there is one
    with cuda_on_cpu.guarded():
        yield


def on_gpu(array, channels_last: bool = False):
    """`array` on the device; images with the channels last in memory, if asked for."""
    import cupy
    if not channels_last:
        return cupy.asarray(array)
    axes = (0, 2, 3, 1)
    return cupy.asarray(np.ascontiguousarray(array.transpose(axes))).transpose(0, 3, 1, 2)


def assert_same(readable, *args, exact: bool = False, **tolerance) -> None:
    """The CUDA kernel of this name gives what `readable` gives, and the same bits again, whichever
    way the threads run."""
    name = readable.__name__
    expected, found = readable(*args), twins.CUDA_KERNELS[name](*args)
    with cuda_on_cpu.backward_order():
        again = twins.CUDA_KERNELS[name](*args)
    several = isinstance(expected, tuple)
    for want, have, repeat in zip(*((r if several else (r,)) for r in (expected, found, again))):
        if want is None:
            assert have is None or readable is fused._bias_activation_grad.readable
            continue
        want, have, repeat = to_host(want), to_host(have), to_host(repeat)
        assert have.dtype == want.dtype and have.shape == want.shape, name
        np.testing.assert_array_equal(have, repeat, err_msg=f"{name}: the order of threads shows")
        if exact:
            np.testing.assert_array_equal(have, want, err_msg=name)
        else:
            assert_close(have, want, 2e-5 if want.dtype == np.float32 else 1e-12, name)


# --------------------------------------------------------------------------- convolution, pooling
@both_types
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("C, O", [(1, 5), (3, 1), (8, 4)])
@pytest.mark.parametrize("window", WINDOWS)
def test_convolution(window, C, O, channels_last, dtype):
    size, kernel, stride, padding, dilation = window
    x = RNG.normal(size=(3, C, *size)).astype(dtype)
    w = RNG.normal(size=(O, C, *kernel)).astype(dtype)
    g = conv._conv2d.readable(x, w, None, stride, padding, dilation)
    g = RNG.normal(size=g.shape).astype(dtype)
    to_y, to_x = (on_gpu(RNG.normal(size=n).astype(dtype)) for n in (O, C))
    x, g = on_gpu(x, channels_last), on_gpu(g, channels_last)
    for weights in (on_gpu(w), on_gpu(np.ascontiguousarray(w.transpose(2, 3, 1, 0))).transpose(
            3, 2, 0, 1)):                                # as PyTorch has them, and taps first
        for b in (None, to_y):
            assert_same(conv._conv2d.readable, x, weights, b, stride, padding, dilation)
        for b in (None, to_x):
            assert_same(conv._conv2d_input_grad.readable, g, weights, b, size, stride, padding,
                        dilation)
    assert_same(conv._conv2d_weight_grad.readable, x, g, kernel, stride, padding, dilation)


@both_types
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("window", [w for w in WINDOWS if w[3] != (4, 3)])
def test_max_pooling(window, channels_last, dtype):
    size, kernel, stride, padding, dilation = window
    pads, out = tuple(map(sides, padding)), output_size(size, kernel, stride, padding, dilation)
    x = RNG.integers(0, 4, (3, 5, *size)).astype(dtype)                      # many ties
    x.reshape(-1)[::7] = -np.inf
    x.reshape(-1)[::31] = np.nan
    x = on_gpu(x, channels_last)
    assert_same(pool._max_pool2d.readable, x, kernel, stride, pads, dilation, out, exact=True)
    _, tap = pool._max_pool2d.readable(x, kernel, stride, pads, dilation, out)
    g = on_gpu(RNG.normal(size=(3, 5, *out)).astype(dtype), channels_last)
    assert_same(pool._scatter_taps.readable, g, tap, kernel, stride, pads, dilation, size)


# --------------------------------------------------------------------------- bias, cross entropy
@both_types
@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(5, 7), (1000, 3), (2, 40, 9, 11), (70, 64, 1, 1), (1, 1, 1, 1)])
def test_bias_and_activation(shape, slope, dtype):
    x = RNG.normal(size=shape).astype(dtype)
    x.reshape(-1)[::11] = 0
    x.reshape(-1)[5::97] = np.nan
    x.reshape(-1)[6::89] = -np.inf
    channel = (shape[1],) if len(shape) == 2 else (1, shape[1], 1, 1)
    b = on_gpu(RNG.normal(size=channel).astype(dtype))
    gy = RNG.normal(size=shape).astype(dtype)
    for last in (False, True) if len(shape) == 4 else (False,):
        with np.errstate(invalid="ignore"):
            assert_same(fused._bias_activation.readable, on_gpu(x, last), b, slope)
        y = on_gpu(np.nan_to_num(x, neginf=-1), last)
        assert_same(fused._bias_activation_grad.readable, on_gpu(gy, last), y, channel, slope)
        _, gb = twins._bias_activation_grad(on_gpu(gy, last), y, channel, slope)
        gx, _ = fused._bias_activation_grad.readable(gy, to_host(y), channel, slope)
        axes = tuple(i for i, n in enumerate(shape) if i != 1)
        want = gx.sum(axes, dtype=np.float64).reshape(channel)
        np.testing.assert_allclose(to_host(gb), want, rtol=1e-6, atol=1e-5)


@both_types
@pytest.mark.parametrize("rows, C", [(1, 2), (7, 10), (300, 3), (5, 1)])
def test_cross_entropy(rows, C, dtype):
    x = on_gpu((RNG.normal(size=(rows, C)) * 300).astype(dtype))
    t = on_gpu(RNG.integers(0, C, rows))
    assert_same(loss._cross_entropy.readable, x, t)
    _, log_p = loss._cross_entropy.readable(x, t)
    gy = on_gpu(RNG.normal(size=rows).astype(dtype))
    assert_same(loss._cross_entropy_grad.readable, gy, log_p, t)


@both_types
@pytest.mark.parametrize("rows", [1, 64, 255, 1000])
@pytest.mark.parametrize("ignored", ["none", "some", "all"])
def test_class_shares(rows, ignored, dtype):
    t = RNG.integers(0, 10, rows)
    t[:{"none": 0, "some": rows // 3, "all": rows}[ignored]] = -100
    x = on_gpu(np.zeros((rows, 10), dtype))
    assert_same(counted._class_shares.readable, x, on_gpu(t), -100)
    numbers, shares, _ = twins._class_shares(x, on_gpu(t.astype(np.int32)), 3)
    assert to_host(numbers).tolist() == np.where(t == 3, 0, t).tolist()
    assert np.array_equal(to_host(shares) == 0, t == 3) or (t == 3).all()


@both_types
@pytest.mark.parametrize("size", [1.0, 1000.0, -1000.0, 5000.0])
def test_cross_entropy_of_a_confident_row_keeps_its_digits(size, dtype):
    """The loss is log(1 + e^-10), however large the logits are."""
    x = on_gpu(np.array([[size, size - 10]], dtype))
    found, log_p = twins._cross_entropy(x, on_gpu(np.array([0])))
    assert to_host(found)[0] == pytest.approx(math.log1p(math.exp(-10)), rel=1e-3)
    assert to_host(log_p)[0, 1] == pytest.approx(-10, rel=1e-4)


def test_many_classes_and_many_pixels_are_left_to_cupy():
    """One thread would walk the row, one block count the pixels."""
    wide = minidl.Tensor(on_gpu(np.zeros((2, twins.WIDEST + 1), np.float32)))
    with fakecupy.counting() as count:
        minidl.functional.cross_entropy(wide, minidl.Tensor(on_gpu(np.array([0, 1]))))
    assert count.calls["cross_entropy"] == 0 and count.calls["class_shares"] == 1
    pixels = np.zeros((1, 2, 1, twins.MOST_CLASS_NUMBERS + 1), np.float32)
    with fakecupy.counting() as count:
        minidl.functional.cross_entropy(minidl.Tensor(on_gpu(pixels)), minidl.Tensor(
            on_gpu(np.zeros((1, 1, twins.MOST_CLASS_NUMBERS + 1), np.int64))))
    assert count.calls["cross_entropy"] == 1 and count.calls["class_shares"] == 0


def test_a_class_that_is_none_makes_the_loss_nan_and_reads_nothing_outside():
    x, t = on_gpu(np.zeros((4, 3), np.float32)), on_gpu(np.array([0, 3, -1, 2**40]))
    found, _ = twins._cross_entropy(x, t)
    assert np.isnan(to_host(found)).tolist() == [False, True, True, True]


# --------------------------------------------------------------------------- noise
@both_types
@pytest.mark.parametrize("shape", [(), (1,), (3, 5), (1024,), (1026,)])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 2**62 + 5, "last"])
def test_noise_is_the_hosts(shape, dtype, first):
    first = draws.ELEMENTS - math.prod(shape) if first == "last" else first
    for draw in ("uniform", "normal"):
        expected = getattr(random, draw)(shape, 7, 0, dtype, first)
        generator = random.Generator(7)
        with fakecupy.counting() as count:
            found = getattr(generator, draw)(shape, dtype, "cuda:0", first=first)
        assert count.launches == 1 and count.uploads == 0
        assert type(found).__module__ == "cupy" and found.dtype == dtype and found.shape == shape
        # Bits are the same; the cosine of the last one may differ between libraries.
        tolerance = 0 if draw == "uniform" else 1e-15 if dtype == np.float64 else 1e-7
        np.testing.assert_allclose(to_host(found), expected, rtol=tolerance, atol=tolerance)
        assert generator.counter == 1


@both_types
@given(st.integers(0, 600), st.integers(1, 600), st.sampled_from([0, 1, 2, 3, 2**40 + 1]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pieces_of_noise_are_the_whole_draw(dtype, n, m, first):
    """Bit for bit, cut inside blocks and pairs too; a piece without elements takes its draw."""
    for draw in ("uniform", "normal"):
        def drawn(count, first):
            generator = random.Generator(7)
            found = getattr(generator, draw)((count,), dtype, "cuda", first=first)
            assert generator.counter == 1
            return to_host(found)
        pieces = np.concatenate([drawn(n, first), drawn(m, first + n)])
        np.testing.assert_array_equal(pieces, drawn(n + m, first))


@both_types
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("first", [0, 1, 2, 3, 2**62 + 5])
def test_dropout_masks_are_the_hosts(p, first, dtype):
    for x in (on_gpu(np.zeros((3, 5, 7, 2), dtype)), on_gpu(np.zeros((3, 5, 7, 2), dtype), True),
              on_gpu(np.zeros((1025,), dtype)), on_gpu(np.zeros((2, 3), dtype).T)):
        assert_same(dropout._dropout_mask.readable, x, p, 2**63 + 5, 3, first, exact=True)


# --------------------------------------------------------------------------- optimisers
OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "SGD, decay": lambda p: optim.SGD(p, 0.1, weight_decay=0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, dampening=0.1),
    "nesterov": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "RMSprop": lambda p: optim.RMSprop(p, 0.01),
    "Adam": lambda p: optim.Adam(p, 0.01),
    "AdamW": lambda p: optim.AdamW(p, 0.01),
    "Adagrad": lambda p: optim.Adagrad(p, 0.01, lr_decay=0.1),
}
SHAPES = [(3,), (launch.CONSTANTS["PIECE"],), (1, 2500), (4, 3, 5, 2), ()]


def trained(optimizer, device, dtype, shapes=SHAPES, steps=3):
    """Parameters after some steps, and the optimiser; the second is frozen in step 1, the third has
    no gradient then, and the fourth is in another memory order."""
    rng = np.random.default_rng(1)
    parameters = [nn.Parameter(rng.normal(size=s).astype(dtype)) for s in shapes]
    parameters[3].data = np.ascontiguousarray(parameters[3].data.transpose(2, 3, 1, 0)).transpose(
        3, 2, 0, 1)
    for p in parameters:
        p.data = minidl.Tensor(p.data, device=device).data if p.ndim < 4 else p.to(device).data
    rule = optimizer(parameters)
    for step in range(steps):
        gradients = [rng.normal(size=p.shape).astype(dtype) for p in parameters]
        rule.zero_grad()
        for p, g in zip(parameters, gradients):
            p.requires_grad_(not (step == 1 and p is parameters[1]))
            if p.requires_grad and not (step == 1 and p is parameters[2]):
                (p * minidl.Tensor(g, device=device)).sum().backward()
        rule.step()
    return parameters, rule


@both_types
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers(name, dtype):
    with _reference():
        expected, on_host = trained(OPTIMIZERS[name], "cpu", dtype)
    found, rule = trained(OPTIMIZERS[name], "cuda", dtype)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    for p, q in zip(expected, found):
        assert q.device == "cuda:0"
        np.testing.assert_allclose(q.numpy(), p.numpy(), rtol=rtol, atol=rtol)
    states = [o.state_dict()["state"] for o in (on_host, rule)]
    for k in states[0]:
        assert states[0][k]["step"] == states[1][k]["step"]
        for key in states[0][k]:
            np.testing.assert_allclose(states[1][k][key], states[0][k][key], rtol=rtol, atol=rtol)


class _reference:
    """Inside, the readable arithmetic alone."""

    def __enter__(self):
        kernels.use_kernels("reference")

    def __exit__(self, *exc):
        kernels.use_kernels("fast")


@pytest.mark.parametrize("count", [1, 10, 64, 65, 130])
def test_one_launch_updates_up_to_64_parameters(count):
    parameters = [nn.Parameter(np.ones(3 + k, np.float32)).to("cuda") for k in range(count)]
    parameters = [nn.Parameter(p.data) for p in parameters]
    rule = optim.Adam(parameters, 0.01)
    for p in parameters:
        p.grad = minidl.Tensor(p.data)
    rule.step()
    with fakecupy.counting() as counts:
        rule.step()
    assert counts.launches == counts.calls["adam"] == math.ceil(count / 64)
    assert counts.uploads == counts.syncs == 0
    for p in parameters:
        np.testing.assert_allclose(p.numpy(), 1 - 2 * 0.01, rtol=1e-6)


def test_groups_with_their_own_numbers_are_launches_of_their_own():
    a, b, c = (nn.Parameter(on_gpu(np.ones(5, np.float32))) for _ in range(3))
    rule = optim.SGD([{"params": [a, b]}, {"params": [c], "lr": 0.5}], lr=0.1)
    for p in (a, b, c):
        p.grad = minidl.Tensor(p.data)
    with fakecupy.counting() as counts:
        rule.step()
    assert counts.launches == counts.calls["sgd"] == 2
    assert [float(p.data[0]) for p in (a, b, c)] == pytest.approx([0.9, 0.9, 0.5])


def test_a_parameter_in_another_memory_order_than_its_gradient_is_updated_readably():
    p = nn.Parameter(on_gpu(np.arange(6, dtype=np.float32).reshape(2, 3)))
    p.grad = minidl.Tensor._wrap(on_gpu(np.ones((3, 2), np.float32)).T)
    with fakecupy.counting() as counts:
        optim.SGD([p], 1.0).step()
    assert counts.calls["sgd"] == 0
    assert p.numpy().tolist() == [[-1, 0, 1], [2, 3, 4]]


def test_nested_steps_keep_the_outer_ones_updates():
    a, b = (nn.Parameter(on_gpu(np.ones(3, np.float32))) for _ in range(2))
    a.grad, b.grad = minidl.Tensor(a.data), minidl.Tensor(b.data)
    with kernels.together(a.data):
        twins._sgd(a.data, a.grad.data, 0.5)
        optim.SGD([b], 0.25).step()
    assert a.numpy().tolist() == [0.5] * 3 and b.numpy().tolist() == [0.75] * 3


def test_an_optimiser_of_no_parameters_does_nothing():
    optim.SGD([{"params": []}], 0.1).step()


def test_updates_are_made_also_when_a_later_one_fails():
    class Failing(optim.SGD):
        def _update(self, p, g, state, group):
            if p.size == 2:
                raise RuntimeError("planted")
            super()._update(p, g, state, group)

    a, b = (nn.Parameter(on_gpu(np.ones(n, np.float32))) for n in (3, 2))
    a.grad, b.grad = minidl.Tensor(a.data), minidl.Tensor(b.data)
    with pytest.raises(RuntimeError, match="planted"):
        Failing([a, b], 0.25).step()
    assert a.numpy().tolist() == [0.75] * 3 and b.numpy().tolist() == [1, 1]
    assert twins._waiting.updates is None


# --------------------------------------------------------------------------- which is taken
def test_kernels_are_taken_on_the_device_and_reference_takes_them_away():
    x = minidl.Tensor(on_gpu(np.ones((2, 3), np.float32)))
    t = minidl.Tensor(on_gpu(np.array([0, 2])))
    for choice, launches in (("fast", 1), ("reference", 0)):
        kernels.use_kernels(choice)
        try:
            with fakecupy.counting() as count:
                minidl.functional.cross_entropy(x, t)
        finally:
            kernels.use_kernels("fast")
        assert count.calls["cross_entropy"] == launches


def test_empty_arrays_are_left_to_cupy():
    x = minidl.Tensor(on_gpu(np.zeros((0, 3), np.float32)))
    with fakecupy.counting() as count:
        assert (x + minidl.Tensor(on_gpu(np.ones(3, np.float32)))).relu().shape == (0, 3)
        y = minidl.functional.conv2d(
            minidl.Tensor(on_gpu(np.zeros((0, 1, 5, 5), np.float32))),
            minidl.Tensor(on_gpu(np.zeros((2, 1, 3, 3), np.float32))))
    assert y.shape == (0, 2, 3, 3) and count.calls["im2col"] == 0


# --------------------------------------------------------------------------- the launcher
def test_signatures_and_structs_are_the_sources():
    for real in launch.REALS:
        signatures = launch.signatures(real)
        assert launch.SOURCE.count("__global__") == len(signatures)
        adam = [(p.name, p.pointer) for p in signatures["adam"]]
        assert adam == [(n, False) for n in ("all", "beta1", "rest1", "beta2", "rest2", "eps")]
        assert [(p.kind, p.pointer) for p in signatures["max_pool"]][2] == (np.int32, True)
        assert launch.structs(real)["Parameters"].itemsize < 4096
        assert launch.structs(real)["Window"].names[:3] == ("H", "W", "C")


def test_every_kernel_of_the_source_has_a_caller():
    text = (launch.resources.files("minidl.kernels.gpu") / "twins.py").read_text(encoding="utf-8")
    unused = [name for name in launch.signatures(np.dtype(np.float32)) if f'"{name}"' not in text]
    assert unused == []


@pytest.mark.parametrize("wrong, error, message", [
    (lambda x, b, y: (x, b, y, 3, 0.0), TypeError, "6 arguments are needed, got 5"),
    (lambda x, b, y: (x, b, y, 3.5, 0.0, 6), TypeError, "C must be an integer, got 3.5"),
    (lambda x, b, y: (x, b, y, 2**31, 0.0, 6), ValueError, "C must fit int32"),
    (lambda x, b, y: (x, b, y, 3, "0", 6), TypeError, "slope must be a number, got str"),
    (lambda x, b, y: (x.get(), b, y, 3, 0.0, 6), TypeError, "x must be an array on the GPU"),
    (lambda x, b, y: (x, b.astype("f8"), y, 3, 0.0, 6), TypeError, "b must be of float32"),
    (lambda x, b, y: (x.reshape(2, 3).T, b, y, 3, 0.0, 6), ValueError, "x must be C-contiguous"),
])
def test_wrong_calls_are_refused(wrong, error, message):
    x, b, y = (on_gpu(np.ones(n, np.float32)) for n in (6, 3, 6))
    with pytest.raises(error, match=f"bias_activation: {message}"):
        launch.launch("bias_activation", 6, np.dtype(np.float32), *wrong(x, b, y))


def test_no_more_threads_than_indices_can_count():
    x = on_gpu(np.ones(6, np.float32))
    for threads in (0, 2**31):
        with pytest.raises(ValueError, match=f"sgd: {threads:,} numbers, .* use a smaller batch"):
            launch.launch("sgd", threads, np.dtype(np.float32), x, 1.0)


def test_no_array_has_more_numbers_than_indices_can_count():
    """col2im has a thread a pixel, and reads rows with many more numbers than that."""
    class Large:
        dtype, size, shape = np.dtype(np.float32), 2**31, (2**31,)

    x = on_gpu(np.ones(6, np.float32))
    window = np.zeros(1, launch.structs(np.dtype(np.float32))["Window"])
    with pytest.raises(ValueError, match="col2im: rows has 2,147,483,648 numbers.* smaller batch"):
        launch.launch("col2im", 6, np.dtype(np.float32), Large(), x, window, 6)


def test_a_struct_of_another_layout_is_refused():
    x = on_gpu(np.ones(6, np.float32))
    other = np.zeros(1, launch.structs(np.dtype(np.float32))["Parameters"])
    with pytest.raises(TypeError, match="im2col: w must be one struct"):
        launch.launch("im2col", 6, np.dtype(np.float32), x, x, other, 6)
