"""minidl.from_torch: every layer and every function that is mapped gives PyTorch's numbers and
PyTorch's gradients."""

from __future__ import annotations

import copy

import pytest
from torch_beside import ROUGH, Of, check_same, drawn, fresh, nn, ours, torch

from minidl.bridge import torch_functions, torch_layers

F = torch.nn.functional
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


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
    assert {*LAYERS, *containers} == {*torch_layers.SAME, *torch_layers.WRITTEN_AS_FUNCTIONS,
                                      *torch_layers.CONTAINERS}
    mapped = {name for name in ours.__all__ if isinstance(getattr(ours, name), type)}
    assert mapped - {"Module", "Parameter", "Residual", "Summary"} <= {*LAYERS, *containers}


# --------------------------------------------------------------------------- every function
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
    "permute": (lambda x, y: x.permute(0, 2, 3, 1),
                lambda x, y: torch.permute(x, dims=(3, 0, 1, 2))),
    "transpose": lambda x, y: torch.transpose(x, 1, -1),
    "swapaxes": lambda x, y: x.swapaxes(axis0=0, axis1=2),
    "movedim": lambda x, y: x.movedim(1, -1), "t": lambda x, y: x[0, 0].t(),
    "flip": (lambda x, y: x.flip(2, 3), lambda x, y: torch.flip(x, dims=[0])),
    "roll": (lambda x, y: torch.roll(x, (1, -2), (2, 3)), lambda x, y: x.roll(3)),
    "tril": lambda x, y: x.tril(-1), "triu": lambda x, y: torch.triu(x, diagonal=1),
    "detach": lambda x, y: x * y.detach(), "clone": lambda x, y: x.clone(),
    "zeros_like": lambda x, y: torch.zeros_like(x) + y,
    "ones_like": lambda x, y: torch.ones_like(x),
    "rand_like": lambda x, y: x + 0 * torch.rand_like(y),
    "randn_like": lambda x, y: x + 0 * torch.randn_like(y),
}
METHODS = {
    "view": (lambda x, y: x.view(x.size(0), -1), lambda x, y: x.view((2, 2, -1, 6))),
    "contiguous": lambda x, y: x.permute(1, 0, 2, 3).contiguous().view(4, -1),
    "expand": lambda x, y: x[:, :1].expand(-1, 3, 5, 6),
    "repeat": lambda x, y: x.repeat(2, 1, 3, 1, 2),
    "view_as": lambda x, y: x.flatten().view_as(y),
    "reshape_as": lambda x, y: x.flatten().reshape_as(y),
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
    name = "TENSOR_METHODS" if table == "METHODS" else table
    assert set(TABLES[table]) == set(getattr(torch_functions, name))
