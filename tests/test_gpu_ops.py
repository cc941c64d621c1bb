"""Every op on the stand-in for CuPy (fakecupy): the numbers of the CPU, no hidden waiting, no
hidden copies, and host and device never mixed without a clear error.

Each runs twice: as the readable functions of minidl/ops, and with the CUDA kernels in their place,
compiled by g++ and really run (left out where there is no g++).
"""

from __future__ import annotations

import copy
import math

import cuda_on_cpu
import fakecupy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optable import assert_close, call, every_op, in_dtype, noise_like, tensor_arguments

import minidl
import minidl.functional as F
from minidl import OPS, Tensor, device, metrics
from minidl.testing.domains import DOMAINS

some = settings(max_examples=max(settings.default.max_examples // 4, 3),
                suppress_health_check=[HealthCheck.function_scoped_fixture])
RTOL = {np.float32: 2e-5, np.float64: 1e-11}

SYNCS = {
    "getitem": "how many elements a mask picks is known on the device alone",
    "scatter": "the adjoint of picking by a mask",
}
"""Ops that wait for the device by their nature, where a boolean mask is an argument."""


@pytest.fixture(params=["reference", "fast"])
def kernels(request):
    """Both ways to compute."""
    if request.param == "fast" and cuda_on_cpu.problem():
        pytest.skip(f"the CUDA kernels cannot be run: {cuda_on_cpu.problem()}")
    before = minidl.kernels_in_use()
    minidl.use_kernels(request.param)
    yield request.param
    minidl.use_kernels(before)


def on_gpu(value):
    """Arrays, and those in tuples and lists, as tensors on the device; the rest as it is."""
    if isinstance(value, (tuple, list)):
        return type(value)(on_gpu(v) for v in value)
    return Tensor(value, device="cuda") if isinstance(value, np.ndarray) else value


def plain_on_gpu(value):
    """The same with the device's arrays in place of tensors."""
    if isinstance(value, (tuple, list)):
        return type(value)(plain_on_gpu(v) for v in value)
    return value.data if isinstance(value, Tensor) else value


def has_mask(value) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(has_mask, value))
    return isinstance(value, np.ndarray) and value.dtype == bool


def all_numbers(name: str, args: tuple, leaves, create_graph: bool) -> list:
    """The value, the gradients for a random upstream gradient, and, if a graph is created, the
    gradients of these: as arrays, None where there is none."""
    here = leaves[0].device
    y = call(name, args, leaves)
    upstream = Tensor(noise_like(np.empty(y.shape, y.dtype)), device=here).requires_grad_()
    wanted = [x for x in leaves if x.requires_grad]
    first = minidl.grad(y, wanted, upstream, create_graph=create_graph, allow_unused=True)
    found = [y, *first]
    if create_graph:
        summed = [(g * Tensor(noise_like(np.empty(g.shape, g.dtype)), device=here)).sum()
                  for g in first if g is not None and g.requires_grad]
        if summed:
            found += minidl.grad(summed, [*wanted, upstream], allow_unused=True)
    return [None if t is None else t.detach() for t in found]


def test_the_two_ways_are_two(gpu, kernels):
    x, w = minidl.ones(1, 1, 4, 4, device="cuda"), minidl.ones(1, 1, 3, 3, device="cuda")
    with fakecupy.counting() as count:
        F.conv2d(x, w)
    assert ("im2col" in count.calls) == (kernels == "fast") and count.calls["matmul"] == 1


@every_op
@some
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_values_and_derivatives_are_the_cpus_and_nothing_waits(gpu, kernels, name, data, dtype):
    args = in_dtype(data.draw(DOMAINS[name]), dtype)
    arrays = tensor_arguments(name, args)
    on_device = args if name == "convert" else plain_on_gpu(on_gpu(args))
    if name == "convert":
        args, on_device = (args[0], np.dtype(dtype), "cpu"), (args[0], np.dtype(dtype), "cuda:0")
    for create_graph in (False, True):
        hosts = [Tensor(x).requires_grad_(x.dtype.kind == "f") for x in arrays]
        devices = [Tensor(x, device="cuda").requires_grad_(x.dtype.kind == "f") for x in arrays]
        all_numbers(name, on_device, devices, create_graph)         # the constants are made here
        if name in SYNCS and has_mask(args):
            found = all_numbers(name, on_device, devices, create_graph)
        else:
            with fakecupy.forbid_sync():
                found = all_numbers(name, on_device, devices, create_graph)
        expected = all_numbers(name, args, hosts, create_graph)
        assert len(found) == len(expected)
        for a, b in zip(found, expected):
            assert (a is None) == (b is None)
            if a is not None:
                assert a.device == "cuda:0" and a.dtype == b.dtype
                assert_close(a.numpy(), b.data, RTOL[dtype])


def test_every_op_that_may_wait_has_a_written_reason():
    assert set(SYNCS) <= set(OPS) and all(len(reason) > 20 for reason in SYNCS.values())
    assert len(SYNCS) == 2                     # raise this number only together with a reason


@every_op
@settings(some, max_examples=3)
@given(data=st.data())
def test_a_second_step_sends_no_numbers_over(gpu, kernels, name, data):
    args = data.draw(DOMAINS[name])
    arrays = tensor_arguments(name, args)
    on_device = args if name == "convert" else plain_on_gpu(on_gpu(args))
    leaves = [Tensor(x, device="cuda").requires_grad_(x.dtype.kind == "f") for x in arrays]

    def step():
        y = call(name, on_device, leaves)
        y.backward(Tensor._wrap(gpu.ones(y.shape, y.dtype)))
    if name == "convert":
        return
    step()
    with fakecupy.counting() as count:
        step()
    assert count.uploads == 0, count


# --------------------------------------------------------------------------- host and device
several = pytest.mark.parametrize("name", [
    n for n in OPS if n in DOMAINS and (OPS[n].sequence or len(OPS[n].places) > 1)])


@several
@some
@given(data=st.data())
def test_an_op_refuses_a_mixture_and_names_both(gpu, kernels, name, data):
    args = data.draw(DOMAINS[name])
    arrays = tensor_arguments(name, args)
    if OPS[name].sequence and len(arrays) == 1:
        arrays = arrays * 2
    on_device = plain_on_gpu(on_gpu(args))
    for away in range(len(arrays)):
        for odd, rest in (("cpu", "cuda"), ("cuda", "cpu")):
            mixed = [Tensor(x, device=odd if k == away else rest) for k, x in enumerate(arrays)]
            with pytest.raises(TypeError) as caught:
                call(name, on_device, mixed)
            message = str(caught.value)
            assert message.startswith(f"{name.strip('_')}: tensor of shape")
            assert message.count(" on cpu") == 1 and message.count(" on cuda:0") == 1
            assert "are on different devices; move one with .to(device)" in message


def test_a_mixture_that_the_arithmetic_does_not_notice_is_refused_too(gpu):
    @minidl.op
    def first(a: Tensor, b: Tensor):
        return a.data * 1, None
    with pytest.raises(TypeError, match="first: tensor of shape .* on cuda:0 and .* on cpu"):
        first(minidl.ones(2, device="cuda"), minidl.ones(1))


def test_a_backward_may_return_a_number(gpu):
    @minidl.op
    def plus(a: Tensor, b: Tensor):
        return a.data + b.data, lambda gy: (gy, 2.0)
    a, b = minidl.ones(2, device="cuda"), minidl.tensor(3.0, device="cuda").requires_grad_()
    plus(a, b).sum().backward()
    assert b.grad.device == "cuda:0" and b.grad.item() == 2.0


x_host = np.arange(6, dtype=np.float32).reshape(2, 3)
labels_host = np.array([2, 0])
MIXTURES = {
    "array + tensor": lambda x: x_host + x,
    "tensor + array": lambda x: x + x_host,
    "tensor @ array": lambda x: x @ x_host.T,
    "tensor + 0-d array": lambda x: x + np.array(2.0, np.float32),
    "add_": lambda x: x.add_(x_host),
    "mul_ of a 0-d tensor": lambda x: x.mul_(minidl.tensor(2.0)),
    "==": lambda x: x == Tensor(x_host),
    "< array": lambda x: x < x_host,
    "< 0-d array": lambda x: x < np.array(2.0),
    "logical": lambda x: (x > 2) & (Tensor(x_host) > 2),
    "indexing with a tensor": lambda x: x[Tensor(np.array([1]))],
    "indexing with an array": lambda x: x[:, labels_host],
    "indexing with a mask": lambda x: x[x_host > 2],
    "a host tensor indexed from the device": lambda x: Tensor(x_host)[(x > 2)],
    "assignment at an array": lambda x: x.__setitem__(labels_host[:1] % 2, 0),
    "where": lambda x: F.relu(x).where(Tensor(x_host > 2), 0.0),
    "cat": lambda x: minidl.cat([x, Tensor(x_host)]),
    "stack": lambda x: minidl.stack([Tensor(x_host), x]),
    "linear": lambda x: F.linear(x, Tensor(x_host)),
    "bias of linear": lambda x: F.linear(x, x.detach(), minidl.zeros(2)),
    "embedding": lambda x: F.embedding(Tensor(labels_host % 2), x),
    "cross_entropy": lambda x: F.cross_entropy(x, Tensor(labels_host)),
    "cross_entropy of an array": lambda x: F.cross_entropy(x, labels_host),
    "its soft targets": lambda x: F.cross_entropy(x, Tensor(x_host)),
    "its weights": lambda x: F.cross_entropy(x, minidl.tensor([2, 0], device="cuda"),
                                             minidl.ones(3)),
    "nll_loss": lambda x: F.nll_loss(x, Tensor(labels_host)),
    "mse_loss": lambda x: F.mse_loss(x, x_host),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(x.sigmoid(), Tensor(x_host / 6)),
    "bce with logits": lambda x: F.binary_cross_entropy_with_logits(x, Tensor(x_host / 6)),
    "kl_div": lambda x: F.kl_div(x, Tensor(x_host / 6)),
    "batch_norm's statistics": lambda x: F.batch_norm(x, minidl.zeros(3), minidl.ones(3),
                                                      training=True),
    "batch_norm's weights": lambda x: F.batch_norm(x, weight=minidl.ones(3), bias=minidl.zeros(3),
                                                   training=True),
    "attention's mask": lambda x: F.scaled_dot_product_attention(
        x, x, x, Tensor(np.ones((2, 2), bool))),
    "reparameterize": lambda x: F.reparameterize(x, x, eps=Tensor(x_host)),
    "backward from a host gradient": lambda x: (x.requires_grad_() * 2).backward(Tensor(x_host)),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_a_function_refuses_a_mixture(gpu, kernels, name):
    x = Tensor(x_host + 1, device="cuda")
    with pytest.raises(TypeError, match="are on different devices; move one with .to.device"):
        MIXTURES[name](x)
    assert np.array_equal(x.numpy(), x_host + 1)


def test_numbers_of_numpy_are_numbers(gpu):
    x = Tensor(x_host, device="cuda")
    for number in (2, 2.5, True, np.float32(2.5), np.float64(2.5), np.int64(2)):
        for f in (lambda a: a + number, lambda a: number * a, lambda a: a / number,
                  lambda a: number - a, lambda a: (a > number).float()):
            y, expected = f(x), f(Tensor(x_host))
            assert y.device == "cuda:0" and y.dtype == expected.dtype
            assert np.array_equal(y.numpy(), expected.data)


# --------------------------------------------------------------------------- constants
def test_numbers_become_arrays_of_the_device_once(gpu):
    like = gpu.ones(2, "f4")
    with fakecupy.counting() as count:
        kept = [device.constant(v, "f4", like) for v in (0.0, -0.0, math.nan, 1.0, 1, True)]
        kept += [device.constant(1.0, "f8", like), device.constant(1, "i8", like)]
    assert count.uploads == 7                                   # 1 and True are one
    assert [math.copysign(1, a.item()) for a in kept[:2]] == [1, -1]
    assert math.isnan(kept[2].item())
    assert [a.dtype.name for a in kept] == ["float32"] * 6 + ["float64", "int64"]
    with fakecupy.counting() as count:
        again = [device.constant(v, "f4", like) for v in (0.0, -0.0, float("nan"), 1.0, 1, True)]
    assert count.uploads == 0 and all(a is b for a, b in zip(again, kept))


def test_on_the_cpu_a_constant_is_a_fresh_array():
    a, b = (device.constant(1.5, np.float32, np.ones(2)) for _ in range(2))
    assert a is not b and a.dtype == np.float32 and a.shape == () and a.item() == 1.5


def test_a_constant_is_never_written_to(gpu):
    x = minidl.tensor(3.0, device="cuda").requires_grad_()
    x.backward()                                               # its gradient is the number 1
    x.grad.mul_(5)
    y = minidl.tensor([1.0, 2.0], device="cuda").requires_grad_()
    (y * 1.0).sum().backward()
    y.grad.zero_()
    assert device.constant(1.0, np.float32, x.data).item() == 1.0


# --------------------------------------------------------------------------- tensors
def test_moving(gpu):
    host = Tensor(x_host).requires_grad_()
    x = host.cuda()
    assert x.device == "cuda:0" and host.to("cpu") is host and x.to("cuda") is x
    assert x.to(host).device == "cpu" and host.to(x).device == "cuda:0"
    (x.cpu() * host).sum().backward()                          # moving has a gradient
    assert host.grad.device == "cpu" and np.array_equal(host.grad.data, 2 * x_host)
    y = x.detach().to(minidl.float64)
    assert y.device == "cuda:0" and y.dtype == np.float64
    assert minidl.tensor([1, 2], device="cuda").float().device == "cuda:0"


def test_reading(gpu):
    x = Tensor(x_host, device="cuda")
    assert np.array_equal(x.numpy(), x_host) and np.array_equal(np.asarray(x), x_host)
    assert x.tolist() == x_host.tolist() and x[1, 2].item() == 5.0 == float(x[1, 2])
    assert [row.tolist() for row in x] == x_host.tolist() and len(x) == 2
    assert repr(x) == repr(Tensor(x_host))[:-1] + ", device=cuda:0)"
    assert f"{x.sum():.1f}" == "15.0" and bool((x >= 0).all()) and not (x > 9).any()
    assert x.numpy().flags.writeable                           # a copy, and the user's own


def test_writing(gpu):
    x = Tensor(np.zeros((2, 3), np.float32), device="cuda")
    x.copy_(Tensor(x_host))                                    # across devices, as in PyTorch
    assert np.array_equal(x.numpy(), x_host)
    host = minidl.zeros(2, 3)
    assert np.array_equal(host.copy_(x).data, x_host)
    x[0] = 7.0
    x[1, :2] = np.array([8.0, 9.0], np.float32)
    x[:, 2] = Tensor(np.array([1.0, 2.0], np.float32))
    assert x.tolist() == [[7, 7, 1], [8, 9, 2]]
    x[minidl.tensor([0, 1], device="cuda"), [1, 0]] = 0.5
    assert x.tolist() == [[7, 0.5, 1], [0.5, 9, 2]]
    x[x > 5] = 0.0
    assert x.tolist() == [[0, 0.5, 1], [0.5, 0, 2]]
    x.fill_(3).add_(1).mul_(2).sub_(x / 4, alpha=2).clamp_(max=3.5)
    assert x.tolist() == [[3.5] * 3] * 2
    host[0] = x[0]
    assert host.tolist()[0] == [3.5] * 3


def test_a_view_whose_elements_share_memory_is_not_written(gpu):
    x = minidl.zeros(3, device="cuda").expand(2, 3)
    with pytest.raises(RuntimeError, match="elements of an expanded view share memory"):
        x.fill_(1)
    with pytest.raises(RuntimeError, match="elements of an expanded view share memory"):
        x[0] = 1
    x.clone().fill_(1)
    minidl.zeros(1, 3, device="cuda").expand(1, 3).fill_(1)    # here none do


def test_a_change_of_a_saved_value_is_noticed(gpu):
    x = minidl.ones(3, device="cuda").requires_grad_()
    y = x * 2
    z = y * y
    y.detach()[0:2].fill_(0)                                   # a view of the same memory
    with pytest.raises(RuntimeError, match="changed in place"):
        z.sum().backward()


def test_deepcopy(gpu):
    x = Tensor(x_host.T, device="cuda").requires_grad_()
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    x.data[...], x.grad.data[...] = 0, 0
    assert y.device == "cuda:0" and np.array_equal(y.numpy(), x_host.T)
    assert np.array_equal(y.grad.numpy(), 2 * x_host.T)
    model = copy.deepcopy(minidl.nn.Linear(3, 2).to("cuda"))
    assert {p.device for p in model.parameters()} == {"cuda:0"}


def test_indices(gpu):
    x = Tensor(x_host, device="cuda").requires_grad_()
    rows = minidl.tensor([1, 0, 1], device="cuda")
    for index, plain in ((rows, [1, 0, 1]), ([1, 0], [1, 0]), ((slice(None), [2, 0]),) * 2,
                         ((rows, None), ([1, 0, 1], None)), ([], []), ((1, 2), (1, 2)),
                         ((..., -1), (..., -1)), (x > 2, x_host > 2), (rows[1], 0)):
        y = x[index]
        assert y.device == "cuda:0" and np.array_equal(y.numpy(), x_host[plain])
        x.grad = None
        y.sum().backward()
        expected = np.zeros_like(x_host)
        np.add.at(expected, plain, 1)
        assert np.array_equal(x.grad.numpy(), expected)


# --------------------------------------------------------------------------- functions
FUNCTIONS = {
    "conv1d": lambda x, w: F.conv1d(x[:, :, 0], w[:, :, 0], padding=1),
    "conv2d in groups, same": lambda x, w: F.conv2d(x, w[:, :2], None, 2, "same", groups=2),
    "conv_transpose2d": lambda x, w: F.conv_transpose2d(x, w, w[0, :, 0, 0], 2, 1, 1),
    "unfold, fold": lambda x, w: F.fold(F.unfold(x, 3, 1, 1, 2), (6, 6), 3, 1, 1, 2),
    "max_pool2d": lambda x, w: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "its indices": lambda x, w: F.max_pool2d(x, 2, return_indices=True)[1].float(),
    "avg_pool2d": lambda x, w: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "interpolate": lambda x, w: F.interpolate(x, scale_factor=1.5) + F.interpolate(
        x, size=(9, 9)),
    "pixel_shuffle": lambda x, w: F.pixel_shuffle(x, 2),
    "pad, flip": lambda x, w: F.pad(x, (1, -1, 2, 0), value=3.0).flip(1, 3),
    "chunk, stack": lambda x, w: minidl.stack(x.chunk(2, 1)),
    "activations": lambda x, w: F.gelu(x) + F.gelu(x, "tanh") + F.softplus(x, 2.0) + F.elu(x, 0.5)
    + F.leaky_relu(x) + x.clamp(-1, 1) + x.abs().sqrt(),
    "extremes": lambda x, w: x.max(1).values + x.amax((2, 3)).sum() + x.std(),
    "minima": lambda x, w: x.min(1).values + x.amin((2, 3)).sum() + x.var(),
    "places": lambda x, w: x.argmax(1).float() + x.argmin().float(),
    "softmax": lambda x, w: F.softmax(x, 1) + F.log_softmax(x, 3) + x.logsumexp((1, 2), True),
    "normalize": lambda x, w: F.normalize(x),
    "layer_norm, group_norm": lambda x, w: F.layer_norm(x, 6) + F.group_norm(x, 2, w[:4, 0, 0, 0]),
    "batch_norm": lambda x, w: F.batch_norm(x, weight=w[:4, 0, 0, 0], bias=w[:4, 1, 0, 0],
                                            training=True),
    "batch_norm without weights": lambda x, w: F.batch_norm(x, training=True),
    "batch_norm, evaluated": lambda x, w: F.batch_norm(x, w[:4, 0, 0, 0].detach(),
                                                       w[:4, 0, 1, 1].detach().abs()),
    "one_hot": lambda x, w: F.one_hot(x[0, 0, 0].detach().long().clamp(0, 3), 4).float(),
    "embedding": lambda x, w: F.embedding((x.detach() > 0).long(), w[:, 0, 0]),
    "cross_entropy": lambda x, w: F.cross_entropy(x, _classes(x), ignore_index=1),
    "of no example": lambda x, w: F.cross_entropy(x, _classes(x) * 0 + 1, ignore_index=1).exp(),
    "cross_entropy, each": lambda x, w: F.cross_entropy(x, _classes(x), reduction="none"),
    "weighted, smoothed": lambda x, w: F.cross_entropy(
        x, _classes(x), w[0, :, 0, 0].detach().abs(), 3, label_smoothing=0.1),
    "of probabilities": lambda x, w: F.cross_entropy(x, F.softmax(x * 2, 1).detach()),
    "nll_loss": lambda x, w: F.nll_loss(F.log_softmax(x, 1), _classes(x), reduction="sum"),
    "regression": lambda x, w: F.mse_loss(x, x * 2 + 1) + F.l1_loss(x, 0.1 - x) + F.smooth_l1_loss(
        x, 3 * x),
    "yes or no": lambda x, w: F.binary_cross_entropy(x.sigmoid(), (x > 0).float())
    + F.binary_cross_entropy_with_logits(x, (x > 0).float(), pos_weight=w[0, 0, 0, 0]),
    "kl_div": lambda x, w: F.kl_div(F.log_softmax(x, 1), F.softmax(2 * x, 1), "batchmean"),
    "attention": lambda x, w: F.scaled_dot_product_attention(x, x, 2 * x, is_causal=True),
    "attention, masked": lambda x, w: F.scaled_dot_product_attention(
        x, x, x, (x[0, 0] > -9).detach()),
    "multi_head_attention": lambda x, w: F.multi_head_attention(
        x[0], x[0], x[0], *[w.reshape(-1)[:36].reshape(6, 6)] * 4, heads=2),
    "additive attention": lambda x, w: F.score_additive(
        x[0], x[1], w.reshape(-1)[:12].reshape(2, 6), w.reshape(-1)[12:24].reshape(2, 6),
        w[0, 0, 0, :2]),
    "gaussian_kl": lambda x, w: F.gaussian_kl(x, x / 2) + F.gaussian_kl_between(x, x, x * 2, x / 3),
    "gan": lambda x, w: F.gan_discriminator_loss(x, x * 2) + F.gan_generator_loss(x),
    "gradient_penalty": lambda x, w: F.gradient_penalty(
        lambda image: (image * image).sum((1, 2, 3)), x, 2 * x, generator=minidl.Generator(3)),
    "reparameterize": lambda x, w: F.reparameterize(x, x / 2, generator=minidl.Generator(4)),
    "dropout": lambda x, w: F.dropout(x, 0.4, generator=minidl.Generator(5)),
}


def _classes(x: Tensor) -> Tensor:
    """A class number in 0..3 for each pixel of (N,4,H,W)."""
    return (x.detach()[:, 0] * 2).long().clamp(0, 3)


def _with_gradients(f, x: Tensor, w: Tensor) -> list[Tensor]:
    x, w = (t.detach().requires_grad_() for t in (x, w))
    y = f(x, w)
    if y.requires_grad:
        (y * y).sum().backward()
    return [t for t in (y, x.grad, w.grad) if t is not None]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_gives_the_cpus_numbers_without_waiting_or_copying(gpu, kernels, name):
    rng = np.random.default_rng(0)
    x, w = (Tensor(rng.normal(size=shape)) for shape in ((2, 4, 6, 6), (4, 4, 3, 3)))
    expected = _with_gradients(FUNCTIONS[name], x, w)
    x, w = x.to("cuda"), w.to("cuda")
    _with_gradients(FUNCTIONS[name], x, w)                     # constants are made here
    with fakecupy.forbid_sync(), fakecupy.counting() as count:
        found = _with_gradients(FUNCTIONS[name], x, w)
    drawn = kernels == "reference" and name in ("dropout", "reparameterize", "gradient_penalty")
    assert count.uploads == (1 if drawn else 0), count         # without a kernel the host draws
    assert len(found) == len(expected)
    for a, b in zip(found, expected):
        assert a.device == "cuda:0" and a.dtype == b.dtype
        assert_close(a.numpy(), b.data, 1e-10)


def test_a_wrong_class_number_is_found_when_a_number_is_read(gpu, kernels):
    x = Tensor(x_host, device="cuda").requires_grad_()
    with fakecupy.forbid_sync(), fakecupy.wrapping_indices():   # the real CuPy raises nothing
        loss = F.cross_entropy(x, minidl.tensor([0, 3], device="cuda"))
        loss.backward()
    with pytest.raises(ValueError, match=r"cross_entropy: class numbers must be in \[0, 2\]"):
        loss.item()


def test_one_hot_guesses_the_number_of_classes_by_reading_it(gpu):
    classes = minidl.tensor([0, 2, 1], device="cuda")
    with fakecupy.counting() as count:
        y = F.one_hot(classes)
    assert count.syncs == 1 and np.array_equal(y.numpy(), np.eye(3)[[0, 2, 1]])


def test_metrics_take_tensors_of_the_device(gpu):
    true, predicted = (minidl.tensor(t, device="cuda") for t in ([0, 1, 1, 0], [0, 1, 0, 0]))
    assert metrics.accuracy(true, predicted) == 0.75
    assert metrics.roc_auc(true, predicted.float()) == 0.75
