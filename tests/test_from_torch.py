"""minidl.from_torch: every layer and function that is mapped gives PyTorch's numbers and PyTorch's
gradients, random networks of them too; everything else is refused by its name and place."""

from __future__ import annotations

import copy
import inspect
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minidl
from minidl import nn as ours

torch = pytest.importorskip("torch", reason="PyTorch is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from minidl.bridge import functions, layers  # noqa: E402

HERE = Path(__file__)
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


# --------------------------------------------------------------------------- comparing
# PyTorch computes the gradients of these in float64 by a constant that was rounded to float32.
ROUGH = 1e-6


def drawn(shape, seed: int = 0, kind: str = "float") -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if kind == "classes":
        return torch.randint(0, 4, shape, generator=generator)
    numbers = torch.randn(tuple(shape), generator=generator, dtype=torch.float64)
    return {"float": numbers, "share": numbers.sigmoid(),
            "log": torch.log_softmax(numbers, -1)}[kind]


def parts(result) -> list:
    """The tensors of a result, through tuples and dicts."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        return [tensor for part in result for tensor in parts(part)]
    return [] if result is None else [result]


def close(found: np.ndarray, wanted: np.ndarray, what: str, unit: float = 1e-12) -> None:
    assert found.shape == tuple(wanted.shape) and found.dtype == wanted.dtype, what
    unit = unit if wanted.dtype == np.float64 else 1e-5 if wanted.dtype == np.float32 else 0
    finite = wanted[np.isfinite(wanted)]
    scale = max(1.0, float(np.abs(finite).max())) if finite.size else 1.0
    np.testing.assert_allclose(found, wanted, rtol=unit, atol=unit * scale, err_msg=what)


def check_same(theirs: nn.Module, *inputs: torch.Tensor, dtype=torch.float64,
               unit: float = 1e-12) -> ours.Module:
    """Result, gradients of all inputs and parameters, and buffers afterwards, are PyTorch's."""
    theirs = theirs.to(dtype)
    mine = minidl.from_torch(theirs)
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
    args = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    given_ = [minidl.tensor(x.numpy(), requires_grad=x.is_floating_point()) for x in inputs]
    # A layer may write into its input, and a leaf that wants a gradient must not be written into.
    wanted, found = parts(theirs(*[a * 1 for a in args])), parts(mine(*given_))
    assert len(wanted) == len(found) > 0
    loss, my_loss = 0.0, minidl.zeros(())
    for k, (a, b) in enumerate(zip(wanted, found)):
        if not isinstance(a, torch.Tensor):
            assert a == b, k
            continue
        close(b.numpy(), a.detach().numpy(), f"result {k}")
        if a.requires_grad:
            weights = drawn(a.shape, 7 + k).to(dtype)
            loss = loss + (a * weights).sum()
            my_loss = my_loss + (b * minidl.tensor(weights.numpy())).sum()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    if isinstance(loss, torch.Tensor):
        loss.backward()
        my_loss.backward()
    for k, (a, b) in enumerate(zip(args, given_)):
        check_gradient(a, b, f"gradient of input {k}", unit)
    named = dict(mine.named_parameters())
    assert list(named) == [name for name, _ in theirs.named_parameters()]
    for name, p in theirs.named_parameters():
        check_gradient(p, named[name], name)
    for name, value in theirs.state_dict().items():
        close(mine.state_dict()[name].numpy(), value.numpy(), name)
    return mine


def check_gradient(theirs: torch.Tensor, mine: minidl.Tensor, what: str,
                   unit: float = 1e-12) -> None:
    assert (theirs.grad is None) == (mine.grad is None), what
    if theirs.grad is not None:
        close(mine.grad.numpy(), theirs.grad.numpy(), what, unit)


def fresh(layer: nn.Module) -> nn.Module:
    """Parameters and statistics that are not the first ones: no weight 1, no bias 0."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.is_floating_point():
                tensor.add_(torch.rand(tensor.shape, generator=generator))
    return layer


# --------------------------------------------------------------------------- every layer
IMAGES, SIGNALS, ROWS = (2, 4, 9, 8), (2, 4, 9), (5, 4)
LAYERS = {
    "Linear": [(nn.Linear(4, 3), ROWS), (nn.Linear(4, 3, bias=False), (2, 5, 4))],
    "Conv1d": [(nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), SIGNALS),
               (nn.Conv1d(4, 2, 3, padding="same", dilation=2, bias=False), SIGNALS)],
    "Conv2d": [(nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=1, groups=2), IMAGES),
               (nn.Conv2d(4, 4, 3, groups=4, dilation=2, bias=False), IMAGES),
               (nn.Conv2d(4, 2, 4, padding="same"), IMAGES)],
    "ConvTranspose2d": [(nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1,
                                            groups=2), IMAGES),
                        (nn.ConvTranspose2d(4, 2, 3, dilation=2, bias=False), IMAGES)],
    "ConvTranspose1d": [(nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, groups=2), SIGNALS)],
    "MaxPool2d": [(nn.MaxPool2d(3, 2, 1), IMAGES), (nn.MaxPool2d(2, ceil_mode=True), IMAGES),
                  (nn.MaxPool2d(2, return_indices=True, dilation=2), IMAGES)],
    "AvgPool2d": [(nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGES),
                  (nn.AvgPool2d((2, 3), ceil_mode=True), IMAGES)],
    "MaxPool1d": [(nn.MaxPool1d(3, 2, 1), SIGNALS), (nn.MaxPool1d(2), SIGNALS)],
    "AvgPool1d": [(nn.AvgPool1d(3, 2, 1, count_include_pad=False), SIGNALS),
                  (nn.AvgPool1d(2), SIGNALS)],
    "AdaptiveAvgPool1d": [(nn.AdaptiveAvgPool1d(k), SIGNALS) for k in (1, 3, 4, 11)],
    "AdaptiveMaxPool1d": [(nn.AdaptiveMaxPool1d(k), SIGNALS) for k in (1, 3, 4)],
    "AdaptiveAvgPool2d": [(nn.AdaptiveAvgPool2d(k), IMAGES)
                          for k in (1, (3, 4), (4, 3), (None, 2), 10)],
    "AdaptiveMaxPool2d": [(nn.AdaptiveMaxPool2d(k), IMAGES) for k in (1, (3, 4), (4, 3), 10)],
    "BatchNorm1d": [(nn.BatchNorm1d(4), ROWS), (nn.BatchNorm1d(4, momentum=None), SIGNALS)],
    "BatchNorm2d": [(nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), IMAGES),
                    (nn.BatchNorm2d(4, affine=False, track_running_stats=False), IMAGES)],
    "LayerNorm": [(nn.LayerNorm((9, 8)), IMAGES), (nn.LayerNorm(4, bias=False), ROWS),
                  (nn.LayerNorm(4, elementwise_affine=False), ROWS)],
    "GroupNorm": [(nn.GroupNorm(2, 4), IMAGES), (nn.GroupNorm(4, 4, affine=False), SIGNALS)],
    "InstanceNorm1d": [(nn.InstanceNorm1d(4, affine=True), SIGNALS)],
    "InstanceNorm2d": [(nn.InstanceNorm2d(4), IMAGES)],
    "RMSNorm": [(nn.RMSNorm(8), IMAGES), (nn.RMSNorm((9, 8), eps=1e-3), IMAGES)],
    "ReLU": [(nn.ReLU(), ROWS), (nn.ReLU(inplace=True), ROWS)],
    "LeakyReLU": [(nn.LeakyReLU(0.3, inplace=True), ROWS)], "ELU": [(nn.ELU(0.7), ROWS)],
    "GELU": [(nn.GELU(), ROWS), (nn.GELU("tanh"), ROWS)],
    "Softplus": [(nn.Softplus(), ROWS), (nn.Softplus(2.0, 1.0), ROWS)],
    "PReLU": [(nn.PReLU(), ROWS), (nn.PReLU(4), IMAGES)], "CELU": [(nn.CELU(0.6), ROWS)],
    "Hardtanh": [(nn.Hardtanh(-0.5, 0.8), ROWS)], "GLU": [(nn.GLU(1), IMAGES)],
    **{name: [(getattr(nn, name)(), (6, 8, 7))] for name in (
        "Tanh", "Sigmoid", "Identity", "SiLU", "Mish", "ReLU6", "SELU", "Hardsigmoid", "Hardswish",
        "Softsign", "LogSigmoid")},
    "Softmax": [(nn.Softmax(1), IMAGES)], "LogSoftmax": [(nn.LogSoftmax(-1), ROWS)],
    "Dropout": [(nn.Dropout(0.0), ROWS)], "Dropout1d": [(nn.Dropout1d(0.0), SIGNALS)],
    "Dropout2d": [(nn.Dropout2d(0.0), IMAGES)],
    "Flatten": [(nn.Flatten(), IMAGES), (nn.Flatten(0, 1), IMAGES)],
    "Unflatten": [(nn.Unflatten(1, (2, -1)), IMAGES)],
    "PixelShuffle": [(nn.PixelShuffle(2), IMAGES)],
    "Embedding": [(nn.Embedding(4, 3), (5, 2), "classes"),
                  (nn.Embedding(4, 3, padding_idx=1), (5, 2), "classes")],
    "Upsample": [(nn.Upsample(scale_factor=2), IMAGES), (nn.Upsample((5, 11)), IMAGES),
                 (nn.Upsample(scale_factor=(2, 1.5), mode="bilinear"), IMAGES),
                 (nn.Upsample((17, 5), mode="bilinear", align_corners=True), IMAGES),
                 (nn.UpsamplingNearest2d(scale_factor=3), IMAGES)],
    "MultiheadAttention": [(nn.MultiheadAttention(4, 2), (5, 2, 4), (3, 2, 4), (3, 2, 4)),
                           (nn.MultiheadAttention(4, 2, bias=False, batch_first=True),
                            (2, 5, 4), (2, 3, 4), (2, 3, 4))],
    "MSELoss": [(nn.MSELoss(), ROWS, ROWS), (nn.MSELoss(reduction="sum"), ROWS, ROWS)],
    "L1Loss": [(nn.L1Loss(reduction="none"), ROWS, ROWS)],
    "SmoothL1Loss": [(nn.SmoothL1Loss(beta=0.5), ROWS, ROWS)],
    "HuberLoss": [(nn.HuberLoss(delta=0.5), ROWS, ROWS)],
    "CrossEntropyLoss": [
        (nn.CrossEntropyLoss(label_smoothing=0.1), ROWS, ((5,), "classes")),
        (nn.CrossEntropyLoss(torch.tensor([1.0, 2, 3, 4]), ignore_index=2), ROWS,
         ((5,), "classes"))],
    "NLLLoss": [(nn.NLLLoss(torch.tensor([1.0, 2, 3, 4]), reduction="sum"), (ROWS, "log"),
                 ((5,), "classes"))],
    "BCELoss": [(nn.BCELoss(), (ROWS, "share"), (ROWS, "share"))],
    "BCEWithLogitsLoss": [(nn.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, 2, 3, 4])), ROWS,
                           (ROWS, "share"))],
    "KLDivLoss": [(nn.KLDivLoss(reduction="batchmean"), (ROWS, "log"), (ROWS, "share"))],
    "ZeroPad1d": [(nn.ZeroPad1d((1, 2)), SIGNALS)],
    "ZeroPad2d": [(nn.ZeroPad2d((1, 2, -1, 3)), IMAGES)],
    "ConstantPad1d": [(nn.ConstantPad1d(2, 0.5), SIGNALS)],
    "ConstantPad2d": [(nn.ConstantPad2d((1, 2, 0, 3), -1.5), IMAGES)],
    **{f"{kind}Pad{axes}d": [(getattr(nn, f"{kind}Pad{axes}d")((2, 1) * axes),
                              SIGNALS if axes == 1 else IMAGES)]
       for kind in ("Reflection", "Replication", "Circular") for axes in (1, 2)},
    "CosineSimilarity": [(nn.CosineSimilarity(), ROWS, ROWS)],
    "Bilinear": [(nn.Bilinear(4, 3, 2), ROWS, (5, 3)), (nn.Bilinear(4, 3, 2, False),
                                                       (2, 5, 4), (2, 5, 3))],
    "Sequential": [(nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.ReLU(True))), ROWS)],
    "TransformerEncoderLayer": [
        (nn.TransformerEncoderLayer(4, 2, 6, 0.0), (5, 2, 4)),
        (nn.TransformerEncoderLayer(4, 2, 6, 0.0, "gelu", norm_first=True, batch_first=True),
         (2, 5, 4)),
        (nn.TransformerEncoderLayer(4, 2, 6, 0.0, nn.SiLU()), (5, 2, 4))],
    "TransformerEncoder": [
        (nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True), 2,
                               nn.LayerNorm(4), enable_nested_tensor=False), (2, 5, 4))],
}
ONES = [pytest.param(*case, id=f"{name}-{i}") for name, cases in LAYERS.items()
        for i, case in enumerate([(layer, shapes) for layer, *shapes in cases])]


def some_inputs(shapes) -> list[torch.Tensor]:
    found = []
    for i, shape in enumerate(shapes):
        if shape == "classes":
            found[-1] = drawn(found[-1].shape, i, "classes")
        elif isinstance(shape[0], tuple):
            found.append(drawn(shape[0], i, shape[1]))
        else:
            found.append(drawn(shape, i))
    return found


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layer, shapes", ONES)
def test_every_layer(layer, shapes, training):
    mine = check_same(fresh(copy.deepcopy(layer)).train(training), *some_inputs(shapes),
                      unit=ROUGH if isinstance(layer, (nn.CELU, nn.Hardsigmoid)) else 1e-12)
    assert mine.training is training and type(mine).__name__ in (
        type(layer).__name__, type(layer).__mro__[1].__name__)


def test_no_layer_was_forgotten():
    containers = {"ModuleList", "ModuleDict"}
    assert set(LAYERS) == {*layers.SAME, *layers.FUNCTIONS, *layers.CONTAINERS} - containers
    mapped = {name for name in ours.__all__ if isinstance(getattr(ours, name), type)}
    assert mapped - {"Module", "Parameter", "Residual", "Summary"} <= {*LAYERS, *containers}


# --------------------------------------------------------------------------- every function
class Of(nn.Module):
    """A module whose forward is an expression."""

    def __init__(self, expression):
        super().__init__()
        self.expression = [expression]

    def forward(self, x, y):
        return self.expression[0](x, y)


W = torch.linspace(-1, 1, 24, dtype=torch.float64)
C4 = torch.linspace(0.5, 1, 4, dtype=torch.float64)
T = torch.tensor([0, 3, 2, 1])
# x and y are (4, 4, 5, 6). Several expressions of one name stand in a tuple.
FUNCTIONAL = {
    "relu": lambda x, y: F.relu(x, inplace=True), "leaky_relu": lambda x, y: F.leaky_relu(x, 0.2),
    "elu": lambda x, y: F.elu(x, alpha=0.4), "gelu": lambda x, y: F.gelu(x, approximate="tanh"),
    "softplus": lambda x, y: F.softplus(x, beta=3), "sigmoid": lambda x, y: F.sigmoid(x),
    "tanh": lambda x, y: F.tanh(x), "softmax": lambda x, y: F.softmax(x, dim=1),
    "log_softmax": lambda x, y: F.log_softmax(x, dim=-1), "softmin": lambda x, y: F.softmin(x, 1),
    "silu": lambda x, y: F.silu(x, inplace=True), "mish": lambda x, y: F.mish(x),
    "hardtanh": lambda x, y: F.hardtanh(x, -0.3, 0.4), "relu6": lambda x, y: F.relu6(4 * x),
    "hardsigmoid": lambda x, y: F.hardsigmoid(3 * x), "celu": lambda x, y: F.celu(x, 0.4),
    "hardswish": lambda x, y: F.hardswish(3 * x), "selu": lambda x, y: F.selu(x),
    "softsign": lambda x, y: F.softsign(x), "logsigmoid": lambda x, y: F.logsigmoid(30 * x),
    "prelu": lambda x, y: F.prelu(x, C4), "glu": lambda x, y: F.glu(x),
    "linear": lambda x, y: F.linear(x, W.view(4, 6), C4),
    "bilinear": lambda x, y: F.bilinear(x[..., :2], y[..., :3], W.view(4, 2, 3)),
    "conv1d": lambda x, y: F.conv1d(x[:, :, 0], W.view(2, 4, 3), padding=1),
    "conv2d": lambda x, y: F.conv2d(x, W.view(4, 1, 3, 2), C4, stride=2, groups=4),
    "conv_transpose1d": lambda x, y: F.conv_transpose1d(x[..., 0], W.view(4, 2, 3), stride=2),
    "conv_transpose2d": lambda x, y: F.conv_transpose2d(x, W.view(4, 1, 2, 3), C4, 2, groups=4),
    "embedding": lambda x, y: F.embedding(T, y[0, 0, :4], padding_idx=2),
    "scaled_dot_product_attention": (
        lambda x, y: F.scaled_dot_product_attention(x, y, y, is_causal=True),
        lambda x, y: F.scaled_dot_product_attention(x, y, y, attn_mask=x.new_ones(5, 5))),
    "max_pool1d": lambda x, y: F.max_pool1d(x[0], 3, 2),
    "avg_pool1d": lambda x, y: F.avg_pool1d(x[0], 3, stride=2, padding=1),
    "max_pool2d": (lambda x, y: F.max_pool2d(x, 3, stride=1, padding=1),
                   lambda x, y: F.max_pool2d(x, 2)),
    "max_pool2d_with_indices": lambda x, y: F.max_pool2d(x, 2, return_indices=True),
    "avg_pool2d": lambda x, y: F.avg_pool2d(x, kernel_size=(2, 3), stride=1),
    "adaptive_avg_pool1d": lambda x, y: F.adaptive_avg_pool1d(x[0], 4),
    "adaptive_max_pool1d": lambda x, y: F.adaptive_max_pool1d(x[0], 2),
    "adaptive_avg_pool2d": lambda x, y: F.adaptive_avg_pool2d(x, (2, None)),
    "adaptive_max_pool2d": lambda x, y: F.adaptive_max_pool2d(x, 2),
    "batch_norm": lambda x, y: F.batch_norm(x, None, None, C4, training=True, eps=1e-3),
    "layer_norm": lambda x, y: F.layer_norm(x, x.shape[-1:]),
    "group_norm": lambda x, y: F.group_norm(x, 2, weight=C4),
    "instance_norm": lambda x, y: F.instance_norm(x, weight=C4, bias=C4),
    "rms_norm": lambda x, y: F.rms_norm(x, (6,)),
    "normalize": lambda x, y: F.normalize(x, dim=-1),
    "cosine_similarity": lambda x, y: F.cosine_similarity(x, y, dim=-1),
    "dropout": lambda x, y: F.dropout(x, 0.0), "dropout1d": lambda x, y: F.dropout1d(x[0], 0.0),
    "dropout2d": lambda x, y: F.dropout2d(x, 0.7, training=False),
    "pad": (lambda x, y: F.pad(x, (1, 2, 0, 1), value=0.5),
            lambda x, y: F.pad(x, (1, 2, 2, 1), mode="reflect")),
    "interpolate": (lambda x, y: F.interpolate(x, scale_factor=2),
                    lambda x, y: F.interpolate(x, size=(7, 4), mode="bilinear")),
    "pixel_shuffle": lambda x, y: F.pixel_shuffle(x, 2),
    "unfold": lambda x, y: F.unfold(x, 2, stride=2),
    "fold": lambda x, y: F.fold(x[:, :, 0], (3, 4), 2),
    "one_hot": lambda x, y: F.one_hot(x.argmax(-1), 6) * x,
    "mse_loss": lambda x, y: F.mse_loss(x, y), "l1_loss": lambda x, y: F.l1_loss(x, y),
    "smooth_l1_loss": lambda x, y: F.smooth_l1_loss(x, y, beta=0.3),
    "huber_loss": lambda x, y: F.huber_loss(x, y, delta=0.3),
    "nll_loss": lambda x, y: F.nll_loss(x[0, 0, :4].log_softmax(1), T),
    "cross_entropy": lambda x, y: F.cross_entropy(x[0, 0, :4], T, weight=W[18:], reduction="sum"),
    "binary_cross_entropy": lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.sigmoid()),
    "kl_div": lambda x, y: F.kl_div(x, y.sigmoid(), reduction="batchmean"),
    "binary_cross_entropy_with_logits":
        lambda x, y: F.binary_cross_entropy_with_logits(x, y.sigmoid()),
}
GENERAL = {
    **{name: (lambda x, y, n=name: getattr(torch, n)(x), lambda x, y, n=name: getattr(x, n)())
       for name in ("relu", "sigmoid", "tanh", "abs", "exp", "sin", "cos", "neg", "negative",
                    "absolute", "square", "reciprocal")},
    **{name: (lambda x, y, n=name: getattr(torch, n)(x * x + 1),
              lambda x, y, n=name: getattr(x * x + 1, n)()) for name in ("log", "sqrt", "rsqrt")},
    "softmax": (lambda x, y: torch.softmax(x, 1), lambda x, y: x.softmax(dim=-1)),
    "log_softmax": lambda x, y: x.log_softmax(1), "selu": lambda x, y: torch.selu(x),
    "celu": lambda x, y: torch.celu(x, 0.3), "prelu": lambda x, y: torch.prelu(x, C4),
    "clamp": (lambda x, y: x.clamp(-0.3, 0.5), lambda x, y: torch.clamp(x, max=0.2)),
    "clip": lambda x, y: x.clip(min=0.1), "clamp_min": lambda x, y: x.clamp_min(0.1),
    "clamp_max": lambda x, y: torch.clamp_max(x, 0.1),
    "add": (lambda x, y: torch.add(x, y, alpha=2), lambda x, y: x.mul(2).add_(y)),
    "sub": lambda x, y: x.sub(y, alpha=0.5), "rsub": lambda x, y: torch.rsub(x, y),
    "mul": lambda x, y: torch.mul(x, y), "multiply": lambda x, y: x.multiply(3),
    "div": lambda x, y: x.div(y), "divide": lambda x, y: torch.divide(x, 3),
    "true_divide": lambda x, y: torch.true_divide(x, y), "pow": lambda x, y: (x ** 2).pow(1.5),
    "maximum": lambda x, y: torch.maximum(x, y), "minimum": lambda x, y: x.minimum(y),
    "where": lambda x, y: torch.where(x > y, x, y * 2),
    "masked_fill": lambda x, y: x.masked_fill(y > 0, -2.0),
    **{name: lambda x, y, n=name: (getattr(torch, n)(x, y), x * getattr(x, n)(0.2))
       for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "logical_not": lambda x, y: torch.logical_not(x > 0) * x,
    "logical_and": lambda x, y: torch.logical_and(x > 0, y > 0) * x,
    "logical_or": lambda x, y: x * (x > 0).logical_or(y > 0),
    "matmul": (lambda x, y: torch.matmul(x, y.transpose(2, 3)), lambda x, y: x @ y.mT),
    "mm": lambda x, y: torch.mm(x[0, 0], y[0, 0].t()),
    "bmm": lambda x, y: x[0].bmm(y[0].transpose(1, 2)),
    "mv": lambda x, y: x[0, 0].mv(y[0, 0, 0]), "dot": lambda x, y: x[0, 0, 0].dot(y[0, 0, 0]),
    "sum": (lambda x, y: x.sum(), lambda x, y: torch.sum(x, dim=(1, 2), keepdim=True)),
    "mean": (lambda x, y: x.mean((2, 3)), lambda x, y: torch.mean(x, axis=1)),
    "logsumexp": lambda x, y: x.logsumexp(1),
    "var": (lambda x, y: x.var(1, unbiased=False), lambda x, y: torch.var(x, dim=1, correction=1)),
    "std": lambda x, y: x.std(dim=(2, 3), keepdim=True),
    "amax": (lambda x, y: x.amax((1, 2)), lambda x, y: torch.amax(x)),
    "amin": lambda x, y: x.amin(dim=1, keepdim=True),
    "max": (lambda x, y: x.max(1)[0], lambda x, y: torch.max(x, dim=2).values,
            lambda x, y: torch.max(x, y), lambda x, y: x.max()),
    "min": (lambda x, y: x.min(dim=1).indices * y[:, 0], lambda x, y: torch.min(x, y)),
    "argmax": lambda x, y: x.argmax(1) * y[:, 0], "argmin": lambda x, y: torch.argmin(x) * x,
    "norm": (lambda x, y: x.norm(), lambda x, y: torch.norm(x, dim=1)),
    "cat": lambda x, y: torch.cat([x, y], dim=1), "concat": lambda x, y: torch.concat((x, y)),
    "stack": lambda x, y: torch.stack([x, y], dim=-1),
    "chunk": lambda x, y: torch.chunk(x, chunks=2, dim=1)[0] * x.chunk(2, 1)[1],
    "split": lambda x, y: torch.split(x, [1, 3], dim=1)[1] * x.split(2)[0].sum(),
    "unbind": lambda x, y: x.unbind(1)[2], "narrow": lambda x, y: x.narrow(-1, 1, 3),
    "select": lambda x, y: x.select(1, -1), "reshape": lambda x, y: (x.reshape(4, -1),
                                                                    torch.reshape(x, (-1,))),
    "flatten": (lambda x, y: torch.flatten(x, 1), lambda x, y: x.flatten(start_dim=2)),
    "unflatten": lambda x, y: x.unflatten(1, (2, -1)),
    "squeeze": lambda x, y: x[:, :1].squeeze(1), "unsqueeze": lambda x, y: x.unsqueeze(-1) * 2,
    "permute": (lambda x, y: x.permute(0, 2, 3, 1), lambda x, y: torch.permute(x, dims=(3, 0, 1, 2))),
    "transpose": lambda x, y: torch.transpose(x, 1, -1),
    "swapaxes": lambda x, y: x.swapaxes(axis0=0, axis1=2),
    "movedim": lambda x, y: x.movedim(1, -1), "t": lambda x, y: x[0, 0].t(),
    "flip": (lambda x, y: x.flip(2, 3), lambda x, y: torch.flip(x, dims=[0])),
    "roll": (lambda x, y: torch.roll(x, (1, -2), (2, 3)), lambda x, y: x.roll(3)),
    "tril": lambda x, y: x.tril(-1), "triu": lambda x, y: torch.triu(x, diagonal=1),
    "detach": lambda x, y: x * y.detach(), "clone": lambda x, y: x.clone(),
    "zeros_like": lambda x, y: torch.zeros_like(x) + y, "ones_like": lambda x, y: torch.ones_like(x),
    "rand_like": lambda x, y: x + 0 * torch.rand_like(y),
    "randn_like": lambda x, y: x + 0 * torch.randn_like(y),
}
METHODS = {
    "view": (lambda x, y: x.view(x.size(0), -1), lambda x, y: x.view((2, 2, -1, 6))),
    "contiguous": lambda x, y: x.permute(1, 0, 2, 3).contiguous().view(4, -1),
    "expand": lambda x, y: x[:, :1].expand(-1, 3, 5, 6), "repeat": lambda x, y: x.repeat(2, 1, 3, 1, 2),
    "view_as": lambda x, y: x.flatten().view_as(y), "reshape_as": lambda x, y: x.flatten().reshape_as(y),
    "expand_as": lambda x, y: x[:, :1].expand_as(y), "to": lambda x, y: x.to(torch.float32),
    "type_as": lambda x, y: (x > 0).type_as(y) * y, "cpu": lambda x, y: x.cpu() * 2,
    "float": lambda x, y: x.float(), "double": lambda x, y: (x > 0).double() * y,
    "int": lambda x, y: x.int() * y, "long": lambda x, y: (2 * x).long() * y,
    "bool": lambda x, y: (x > 0).bool() * y, "size": lambda x, y: x * x.size()[1] + y.size(-1),
    "dim": lambda x, y: x * y.dim(), "numel": lambda x, y: x / y.numel(),
    "any": lambda x, y: (x > 9).any() * y, "all": lambda x, y: (x < 99).all() * y,
    "new_zeros": lambda x, y: x + y.new_zeros(5, 6), "new_ones": lambda x, y: x.new_ones((4, 1)),
}
CREATION = {
    "zeros": lambda x, y: x + torch.zeros(x.size(0), 1, 1, 1, dtype=torch.float64),
    "ones": lambda x, y: torch.ones((x.shape[-1],), dtype=x.dtype) * x,
    "full": lambda x, y: torch.full((x.shape[-1],), 3.0, dtype=x.dtype) * x,
    "eye": lambda x, y: x @ torch.eye(x.shape[-1], dtype=torch.float64),
    "arange": lambda x, y: x * torch.arange(x.size(-1), device=x.device),
    "linspace": lambda x, y: x * torch.linspace(0, 1, x.size(-1), dtype=torch.float64),
    "rand": lambda x, y: x + 0 * torch.rand(6, dtype=torch.float64),
    "randn": lambda x, y: x + 0 * torch.randn(x.shape[-1], dtype=torch.float64),
}
OPERATORS = {
    "add": lambda x, y: x + 2 + y, "sub": lambda x, y: 1 - x - y, "mul": lambda x, y: 3 * x * y,
    "truediv": lambda x, y: x / 2 / y, "floordiv": lambda x, y: x[:, :x.shape[1] // 2],
    "mod": lambda x, y: x[x.shape[-1] % 5], "pow": lambda x, y: 2 ** x + x ** 2,
    "matmul": lambda x, y: x @ y.transpose(-1, -2), "neg": lambda x, y: -x, "pos": lambda x, y: +x,
    "getitem": lambda x, y: x[:, None, 1:, ..., ::2] * x[T][0, 0, 1, 2],
    **{name: lambda x, y, n=name: getattr(x, f"__{n}__")(y) * x for name in (
        "eq", "ne", "lt", "le", "gt", "ge")},
    "and_": lambda x, y: ((x > 0) & (y > 0)) * x, "or_": lambda x, y: ((x > 0) | (y > 0)) * x,
    "xor": lambda x, y: ((x > 0) ^ (y > 0)) * x, "invert": lambda x, y: ~(x > 0) * x,
    "abs": lambda x, y: abs(x),
}
ATTRIBUTES = {
    "shape": lambda x, y: (x.shape, x * x.shape[1]), "ndim": lambda x, y: x * y.ndim,
    "dtype": lambda x, y: x.to(y.dtype), "device": lambda x, y: x.to(y.device),
    "T": lambda x, y: x[0, 0].T, "mT": lambda x, y: x.mT, "data": lambda x, y: x * y.data,
    "requires_grad": lambda x, y: x * y.requires_grad, "values": lambda x, y: x.max(0).values,
    "indices": lambda x, y: x.min(0).indices * y,
}
TABLES = {"FUNCTIONAL": FUNCTIONAL, "GENERAL": GENERAL, "METHODS": METHODS, "CREATION": CREATION,
          "OPERATORS": OPERATORS, "ATTRIBUTES": ATTRIBUTES}
EXPRESSIONS = [pytest.param(e, id=f"{table}-{name}-{i}") for table, cases in TABLES.items()
               for name, one in cases.items()
               for i, e in enumerate(one if isinstance(one, tuple) else (one,))]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_function(expression, request):
    rough = any(name in request.node.name for name in ("-celu-", "-hardsigmoid-"))
    check_same(Of(expression), drawn((4, 4, 5, 6), 1), drawn((4, 4, 5, 6), 2),
               unit=ROUGH if rough else 1e-12)


@pytest.mark.parametrize("table", TABLES)
def test_no_function_was_forgotten(table):
    assert set(TABLES[table]) == set(getattr(functions, table))


# --------------------------------------------------------------------------- random networks
class Residue(nn.Module):
    """x + F(x), written as people write it: in place, with functions, chunks and a buffer."""

    def __init__(self, inner: nn.Module, way: int):
        super().__init__()
        self.inner, self.way = inner, way
        self.scale = nn.Parameter(torch.tensor([0.7]))
        self.register_buffer("shift", torch.tensor([0.1]))

    def forward(self, x):
        y = self.inner(x)
        if self.way == 0:
            y = y * 1
            y += x
            return y
        if self.way == 1:
            return torch.add(x, self.scale * y) + self.shift
        a, b = torch.cat([x, y], dim=1).chunk(2, dim=1)
        return F.leaky_relu(a - b, 0.1, inplace=True) if self.training else F.leaky_relu(a - b, 0.1)


@st.composite
def networks(draw):
    """A network of images (N,4,H,W), with layers of every kind that keeps or shrinks images."""
    def one(depth: int) -> nn.Module:
        kinds = {
            "conv": lambda: nn.Conv2d(4, 4, draw(st.sampled_from([1, 3])), padding="same",
                                      groups=draw(st.sampled_from([1, 2, 4])),
                                      dilation=draw(st.sampled_from([1, 2])),
                                      bias=draw(st.booleans())),
            "norm": lambda: draw(st.sampled_from([
                nn.BatchNorm2d, lambda c: nn.GroupNorm(2, c), nn.InstanceNorm2d]))(4),
            "activation": lambda: draw(st.sampled_from([
                nn.ReLU, lambda: nn.ReLU(True), nn.GELU, nn.SiLU, nn.Tanh, nn.Hardswish,
                lambda: nn.ELU(0.5), lambda: nn.PReLU(4)]))(),
            "identity": lambda: draw(st.sampled_from([
                nn.Identity, lambda: nn.Sequential(nn.Dropout(0.0), nn.Tanh())]))(),
        }
        if depth:
            kinds["residue"] = lambda: Residue(row(depth - 1), draw(st.integers(0, 2)))
            kinds["row"] = lambda: row(depth - 1)
        return kinds[draw(st.sampled_from(sorted(kinds)))]()

    def row(depth: int) -> nn.Module:
        return nn.Sequential(*(one(depth) for _ in range(draw(st.integers(1, 3)))))

    pool = draw(st.sampled_from([
        nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveMaxPool2d((3, 2)), nn.Conv2d(4, 4, 3, stride=2), nn.PixelShuffle(2)]))
    end = draw(st.sampled_from([nn.Flatten(), nn.AdaptiveAvgPool2d(1), nn.Softmax(1)]))
    seed = draw(st.integers(0, 2**16))
    torch.manual_seed(seed)
    return nn.Sequential(row(2), pool, one(0) if not isinstance(pool, nn.PixelShuffle)
                         else nn.ReLU(), end), drawn((3, 4, *draw(st.sampled_from(
                             [(6, 6), (7, 5), (8, 9)]))), seed)


@given(networks(), st.booleans())
def test_random_networks(drawn_network, training):
    network, images = drawn_network
    network.double()
    try:                               # PyTorch refuses some writes in place, in its backward pass
        copy.deepcopy(network)(images.clone().requires_grad_() * 1).sum().backward()
    except RuntimeError as error:
        assume("inplace operation" not in str(error))
    check_same(fresh(network).train(training), images)


@pytest.mark.parametrize("training", [True, False])
def test_float32(training):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                        nn.Linear(4 * 7 * 6, 3)).train(training)
    mine = check_same(net, drawn(IMAGES), dtype=torch.float32)
    assert {p.dtype for p in mine.parameters()} == {minidl.float32}


# --------------------------------------------------------------------------- structure
class Net(nn.Module):
    """What a small network of somebody looks like."""

    def __init__(self):
        super().__init__()
        self.latent, self.title = 7, "net"
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4),
                                      nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.ModuleList(Residue(nn.Conv2d(4, 4, 3, padding=1), 1) for _ in range(2))
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})
        self.heads["b"].weight = self.heads["a"].weight                  # tied
        self.again = self.blocks[0]                                      # one module, two names
        self.register_buffer("seen", torch.tensor(3), persistent=False)

    def forward(self, x, other=None, *, factor=2.0):
        x = self.features(x)
        for block in self.blocks:
            x = block(x)
        x = self.again(x)
        x = F.dropout(F.gelu(x), 0.5, self.training).mean((2, 3)) * factor
        if other is not None:
            x = x + other
        return {"a": self.heads["a"](x), "b": (self.heads["b"](x), self.seen)}


def pixels(*shape: int) -> minidl.Tensor:
    return minidl.tensor(drawn(shape).numpy()).float()


def test_names_modes_and_sharing():
    theirs = Net()
    theirs.features[1].eval()
    mine = minidl.from_torch(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [type(m).__name__ for m in mine.modules()] == [
        type(m).__name__ for m in theirs.modules()]
    assert [m.training for m in mine.modules()] == [m.training for m in theirs.modules()]
    assert (mine.latent, mine.title) == (7, "net") and "features" in repr(mine)
    assert mine.features[0].stride == (2, 2) and mine.features[3].padding == 1
    assert mine.heads["a"].weight is mine.heads["b"].weight
    assert mine.again is mine.blocks[0] and "seen" not in mine.state_dict()
    assert [n for n, _ in mine.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    theirs.features[0].weight.requires_grad_(False)
    assert not minidl.from_torch(theirs).features[0].weight.requires_grad


def test_numbers_are_copied_and_go_both_ways():
    theirs = Net().eval()
    mine = minidl.from_torch(theirs)
    before = theirs.features[0].weight.detach().clone()
    with minidl.no_grad():
        for p in mine.parameters():
            p.mul_(0.5)
    assert torch.equal(theirs.features[0].weight, before)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in mine.state_dict().items()})
    x = drawn((2, 1, 12, 12)).float()
    close(mine(minidl.tensor(x.numpy()))["a"].numpy(), theirs(x)["a"].detach().numpy(), "back")
    with torch.no_grad():
        theirs.features[0].weight.add_(1)
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    close(mine(minidl.tensor(x.numpy()))["a"].numpy(), theirs(x)["a"].detach().numpy(), "there")


def test_the_module_is_left_as_it_was():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.bn, self.table = 0, nn.BatchNorm1d(4), torch.ones(4)

        def forward(self, x):
            self.calls += 1
            self.last = x
            return self.bn(x) * self.table + torch.ones(4)

    theirs = Counting()
    theirs.bn.eval()
    before = set(theirs.__dict__), [m.training for m in theirs.modules()]
    mine = minidl.from_torch(theirs)
    assert (set(theirs.__dict__), [m.training for m in theirs.modules()]) == before
    assert theirs.calls == 0 and mine(pixels(3, 4)).shape == (3, 4)
    assert torch.arange(3).tolist() == [0, 1, 2]                     # the function is PyTorch's


def test_inputs_defaults_and_keywords():
    theirs = Net().eval()
    x, other = pixels(2, 1, 12, 12), pixels(2, 4)
    with torch.no_grad():
        plain = theirs(torch.from_numpy(x.numpy()))
        added = theirs(torch.from_numpy(x.numpy()), torch.from_numpy(other.numpy()), factor=3.0)
    found = minidl.from_torch(theirs)(x)
    assert list(found) == ["a", "b"] and found["b"][1].item() == 3
    close(found["a"].numpy(), plain["a"].numpy(), "defaults")
    both = minidl.from_torch(theirs, inputs=["other", "factor"])
    close(both(x, other, factor=3.0)["b"][0].numpy(), added["b"][0].numpy(), "given")
    with pytest.raises(TypeError, match="Net: forward takes .*other"):
        both(x)
    with pytest.raises(ValueError, match="no parameter 'mask'; it has x, other, factor"):
        minidl.from_torch(theirs, inputs=["mask"])


def test_modes_are_followed_at_each_call():
    mine = minidl.from_torch(Net().eval())
    x = pixels(2, 1, 12, 12)
    assert np.array_equal(mine(x)["a"].numpy(), mine(x)["a"].numpy())
    mine.train()
    assert not np.array_equal(mine(x)["a"].numpy(), mine(x)["a"].numpy())      # dropout
    mine.blocks[1].eval()
    with pytest.raises(RuntimeError, match="'blocks.1' is in another mode"):
        mine(x)
    mine.eval()
    moved = mine.features[1].running_mean.numpy().copy()
    mine(x)
    assert np.array_equal(moved, mine.features[1].running_mean.numpy())


def test_inner_modules_can_be_called_and_hooked_and_copied():
    theirs = Net().eval()
    mine = copy.deepcopy(minidl.from_torch(theirs))
    x = drawn((2, 4, 5, 5)).float()
    close(mine.blocks[1](minidl.tensor(x.numpy())).numpy(), theirs.blocks[1](x).detach().numpy(),
          "a block alone")
    seen = []
    mine.features[0].register_forward_hook(lambda module, args, out: seen.append(out.shape))
    mine(pixels(2, 1, 12, 12))
    assert seen == [(2, 4, 5, 5)]


def test_a_holder_of_players_without_a_forward():
    class Players(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = nn.Linear(2, 3), Of(lambda x, y: x * y)

    mine = minidl.from_torch(Players())
    assert mine.generator(pixels(5, 2)).shape == (5, 3)
    assert mine.discriminator(pixels(5, 3), 2).shape == (5, 3)
    with pytest.raises(NotImplementedError, match="Players has no forward"):
        mine(pixels(5, 2))


def test_noise_is_drawn_anew_at_each_call():
    class Noisy(nn.Module):
        def forward(self, mu, logvar):
            return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) + torch.randn(3)

    mine = minidl.from_torch(Noisy())
    zero = minidl.zeros(4000, 3)
    first = mine(zero, zero)
    assert not np.array_equal(first.numpy(), mine(zero, zero).numpy())
    assert abs(first.numpy().var(0).mean() - 1) < 0.1


class Hidden(nn.Module):
    """Attention as people write it: unbind, einsum left out, a triangular mask, a table."""

    def __init__(self, dim=8, heads=2, length=6):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.place = nn.Embedding(length, dim)
        self.register_buffer("mask", torch.tril(torch.ones(length, length)))

    def forward(self, x):
        B, T, D = x.shape
        assert D == 8, "the width"
        x = x + self.place(torch.arange(T, device=x.device))
        qkv = self.qkv(x).reshape(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        a = (q @ k.transpose(-2, -1)) / (D // self.heads) ** 0.5
        a = a.masked_fill(self.mask[:T, :T] == 0, float("-inf")).softmax(-1)
        return self.out((a @ v).transpose(1, 2).contiguous().view(B, T, D))


def test_attention_by_hand():
    torch.manual_seed(1)
    mine = check_same(Hidden(), drawn((2, 5, 8)))
    with pytest.raises(AssertionError, match="assert D == 8"):
        mine(minidl.zeros(2, 5, 9))


# --------------------------------------------------------------------------- writing in place
def writes_then_used(x, y):
    x = x * 1
    kept = x
    x += y
    return x * kept                                    # kept is x, and has changed with it


def written_view_of_the_end(x, y):
    z = (x * 2).flatten(1)
    z.mul_(3)
    return z


@pytest.mark.parametrize("expression", [writes_then_used, written_view_of_the_end,
                                        lambda x, y: torch.sin_(x * 1).add_(y).clamp_(min=0.1)])
def test_writing_in_place(expression):
    check_same(Of(expression), drawn((4, 3), 1), drawn((4, 3), 2))


# --------------------------------------------------------------------------- what a trace says
def test_explanations_name_the_lines_of_the_original_source():
    mine = minidl.from_torch(Net().eval())
    x, lines = pixels(2, 1, 12, 12), HERE.read_text(encoding="utf-8").splitlines()
    with minidl.record() as trace:
        y = mine(x)["a"]
        y.sum().backward()
    told = [(op["op"], op["module"], trace.site(op)) for op in trace.ops]
    def one(name, module):
        return next(str(site) for op, at, site in told if (op, at) == (name, module))
    def line_with(text):
        number = 1 + next(i for i, line in enumerate(lines) if line.strip() == text)
        return f"{HERE.name}:{number}  {text}"
    assert one("conv2d", "features.0") == line_with("x = self.features(x)")
    assert one("conv2d", "blocks.1.inner") == line_with("y = self.inner(x)")
    assert one("mul", "blocks.0") == line_with(
        "return torch.add(x, self.scale * y) + self.shift")
    assert one("linear", "heads.a").endswith(
        'return {"a": self.heads["a"](x), "b": (self.heads["b"](x), self.seen)}')
    names = {node["name"] for node in trace.nodes}
    assert {"features.0.weight", "blocks.0.scale", "heads.a.bias"} <= names
    trace.check()
    assert not [check for check in trace.checks if check["status"] == "fail"]
    assert len([check for check in trace.checks if check["status"] == "pass"]) > 50
    with minidl.keep():
        y = mine(x)["a"]
        assert "test_from_torch.py" in str(y.why())


def test_a_mistake_at_a_call_names_the_line_of_the_original_source():
    mine = minidl.from_torch(Net().eval())
    with pytest.raises(ValueError) as caught:
        mine(minidl.zeros(2, 3, 12, 12))
    frames = [entry for entry in caught.traceback if Path(entry.path) == HERE]
    assert "self.features(x)" in str(frames[-1].statement)


# --------------------------------------------------------------------------- refusals
class Chooses(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Assigns(nn.Module):
    def forward(self, x):
        x[0] = 1
        return x


class One(Of):
    def forward(self, x):
        return self.expression[0](x)


class Draws(nn.Module):
    def forward(self, x):
        return x * random.random()


class Deep(nn.Module):
    """The refused thing stands in 'inner.layer'."""

    def __init__(self, layer):
        super().__init__()
        self.inner = nn.Module()
        self.inner.layer = layer
        self.thrice = isinstance(layer, nn.MultiheadAttention)

    def forward(self, x):
        return self.inner.layer(x, x, x) if self.thrice else self.inner.layer(x)


def line_of(function, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


REFUSED = {
    "layer": (lambda: Deep(nn.LSTM(4, 4)), ["LSTM 'inner.layer': minidl has no such layer"]),
    "two at once": (lambda: nn.Sequential(nn.LSTM(4, 4), nn.Conv3d(1, 1, 1)),
                    ["LSTM '0'", "Conv3d '1'"]),
    "option": (lambda: Deep(nn.Conv2d(3, 3, 3, padding_mode="reflect")),
               ["Conv2d 'inner.layer': Conv2d: only padding_mode", "reflect"]),
    "option of ours": (lambda: Deep(nn.InstanceNorm2d(3, track_running_stats=True)),
                       ["InstanceNorm2d 'inner.layer': track_running_stats=True is not offered"]),
    "mode": (lambda: Deep(nn.Upsample(scale_factor=2, mode="bicubic")), ["'bicubic'"]),
    "attention": (lambda: Deep(nn.MultiheadAttention(4, 2, kdim=3)), ["kdim"]),
    "bias of keys": (lambda: Deep(nn.MultiheadAttention(4, 2, add_bias_kv=True)), ["bias_k"]),
    "choice": (lambda: Deep(Chooses()), [
        f"forward of 'inner.layer', {HERE}, line {line_of(Chooses, 'if x.sum')} "
        "(`if x.sum() > 0:`): the program asks for the numbers"]),
    "function": (lambda: Deep(One(torch.fft.fft)), [
        "torch._C._fft.fft_fft is none of minidl's, in forward of 'inner.layer', " + str(HERE)]),
    "method": (lambda: Of(lambda x, y: x.cumsum(0)), ["Tensor.cumsum is none of minidl's"]),
    "attribute": (lambda: Of(lambda x, y: x.real), ["Tensor.real"]),
    "option of a function": (lambda: Of(lambda x, y: F.interpolate(x, scale_factor=2,
                                                                   mode="bicubic")),
                             ["torch.nn.functional.interpolate: mode='bicubic' is not offered"]),
    "another option": (lambda: Of(lambda x, y: x.softmax(1, dtype=torch.float64)),
                       ["Tensor.softmax: the option dtype", "is not offered"]),
    "dtype": (lambda: Of(lambda x, y: x.to(torch.float16)), ["minidl has no torch.float16"]),
    "half weights": (lambda: Deep(nn.Linear(3, 3).half()), ["inner.layer.weight is of torch.float"]),
    "lazy": (lambda: Deep(nn.LazyLinear(3)), ["LazyLinear 'inner.layer'"]),
    "random": (lambda: Deep(Draws()), ["draws random numbers"]),
    "loop": (lambda: Of(lambda x, y: [row * 2 for row in x]), ["the program asks for the numbers"]),
    "number": (lambda: Of(lambda x, y: x * float(y.sum())), ["the program asks for the numbers"]),
    "assignment": (lambda: Deep(Assigns()), ["x[i] = v writes into a tensor",
                                             f"line {line_of(Assigns, 'x[0]')} (`x[0] = 1`)"]),
    "view": (lambda: Of(lambda x, y: (lambda v: (x.mul_(2), v))(x.view(-1))),
             ["Tensor.mul_ writes into a value of which a view is used later"]),
    "output of a view": (lambda: Of(lambda x, y: (lambda v: (v.relu_(), x * y))(x.view(-1))),
                         ["Tensor.relu_ writes into a value of which a view"]),
    "arguments": (lambda: Of(lambda x, *y: x.softmax(1, 2, 3)),
                  ["Tensor.softmax: the arguments do not fit"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_mapped_is_refused_by_name_and_place(name):
    build, texts = REFUSED[name]
    with pytest.raises(ValueError, match="from_torch: .* cannot be mapped") as caught:
        minidl.from_torch(build())
    for text in texts:
        assert text in str(caught.value)


def test_a_buffer_that_is_written_into_is_refused():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)
            return x

    with pytest.raises(ValueError, match="Tensor.add_ writes into a parameter or buffer, in forward"
                                         f", .*{HERE.name}, line {line_of(Counts, 'add_')}"):
        minidl.from_torch(Counts())


def test_hooks_are_refused():
    net = Deep(nn.Linear(3, 3))
    net.inner.layer.register_forward_hook(lambda *args: None)
    with pytest.raises(ValueError, match="Linear 'inner.layer' has a hook"):
        minidl.from_torch(net)


def test_only_one_mode_can_be_mapped():
    class InTraining(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x) if self.training else x * 2

    with pytest.raises(ValueError, match="fft"):
        minidl.from_torch(InTraining())
    mine = minidl.from_torch(InTraining().eval())
    assert mine(minidl.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="cannot be called in training mode:\n.*fft"):
        mine.train()(minidl.ones(3))


def test_what_is_no_module_of_pytorch(monkeypatch):
    with pytest.raises(TypeError, match="expected a torch.nn.Module, got Linear"):
        minidl.from_torch(ours.Linear(2, 2))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="PyTorch is not installed: python -m pip"):
        minidl.from_torch(ours.Linear(2, 2))


def test_a_subclass_that_computes_something_else_is_not_the_layer():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias)

    class Called(nn.Linear):
        pass

    mine = check_same(nn.Sequential(Standardised(4, 2, 3), Called(6, 2)), drawn(IMAGES))
    assert type(mine[0]).__name__ == "Standardised" and type(mine[1]) is ours.Linear


def test_importing_minidl_imports_neither_pytorch_nor_the_bridge():
    code = ("import sys, minidl; minidl.nn; "
            "print([n for n in sys.modules if n.startswith(('torch', 'minidl.bridge'))])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(minidl.__file__).parents[1])
    assert done.stdout.strip() == "[]"
