"""No argument is accepted and ignored: each changes the result, or is refused.

For every option (an argument with a default) of a public function, layer or optimiser a row says
with what call and what other value it is tried; an option without a row is an error.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import textwrap

import numpy as np
import pytest

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.checks import arguments
from minidl.optim.more import schedules

RNG = np.random.default_rng(3)
T = minidl.tensor


def array(*shape, low=-2.0, high=2.0):
    return T(RNG.uniform(low, high, shape).astype(np.float32))


def waves(*shape):
    """The same numbers at every call."""
    return T(np.sin(1.7 * np.arange(np.prod(shape), dtype=np.float32)).reshape(shape))


X, Y, P = array(3, 4), array(3, 4), array(3, 4, low=0.1, high=0.9)
IMAGE, W, WT = array(1, 4, 5, 5), array(4, 4, 2, 2), array(4, 4, 2, 2)
FOUR, LABELS, Z = array(4, low=0.5), T([0, 3, 1]), T(np.zeros((2, 3), np.float32))
LINE = array(1, 4, 6)
G = minidl.Generator(7)
Q, K, V = array(1, 3, 4), array(1, 3, 4), array(1, 3, 4)
MASK = T([[True, False, True]] * 3)
SEEN = {"stride": 2, "padding": 1, "dilation": 2}
TIES = T([[1.0, 2.0, 2.0], [2.0, 0.0, 1.0]])
REDUCED = {"reduction": "sum"}
KEPT = {"keepdim": True}


def seeded(f):
    """f with the same random numbers at every call."""
    def call(*args, **options):
        minidl.manual_seed(5)
        return f(*args, **options)
    return call


def small_gradient(**options):
    p = nn.Parameter(np.ones(2, np.float32))
    p.grad = T([3.0, np.inf if "error_if_nonfinite" in options else 4.0])
    norm = optim.clip_grad_norm_([p], 1.0, **options)
    return norm, p.grad


def cleared(**options):
    p = nn.Parameter(np.ones(2, np.float32))
    p.grad = minidl.ones(2)
    optim.clear_gradients([p], **options)
    return "none" if p.grad is None else "zero"


def grad_of(**options):
    x, other = (T(v, requires_grad=True) for v in (2.0, 3.0))
    y = x * x * x
    first = minidl.grad(y, [x, other] if options.get("allow_unused") else x, **options)
    again = None
    try:
        again = minidl.grad(y, x)
    except RuntimeError as error:
        again = type(error).__name__
    return len(first), first[0].item(), first[0].requires_grad, str(again)


def initialised(name):
    @seeded
    def call(**options):
        p = nn.Parameter(np.zeros((3, 5), np.float32))
        getattr(nn.init, name)(p, **options)
        return p
    return call


def batch_norm(**options):
    mean, var = T([0.5] * 4), T([2.0] * 4)
    y = F.batch_norm(X, options.pop("running_mean", mean), options.pop("running_var", var),
                     options.pop("weight", FOUR), options.pop("bias", FOUR), **options)
    return y, mean, var


def batch_norm_training(**options):
    return batch_norm(training=True, **options)


# name: (call, {option: another value}); several rows may cover one function.
FUNCTIONS = {
    "F.attention": (lambda **o: F.attention(Q, K, **o), {"score": F.score_scaled_dot}),
    "F.avg_pool2d": (lambda **o: F.avg_pool2d(IMAGE, 3, o.pop("stride", 3), o.pop("padding", 1),
                                              **o),
                     {"stride": 2, "padding": 0, "count_include_pad": False,
                      "divisor_override": 2}),
    "F.avg_pool2d, uneven": (lambda **o: F.avg_pool2d(IMAGE, 2, **o), {"ceil_mode": True}),
    "F.batch_norm": (batch_norm, {"running_mean": FOUR, "running_var": FOUR, "weight": None,
                                  "bias": None, "training": True, "eps": 0.5}),
    "F.batch_norm, training": (batch_norm_training, {"momentum": 0.5}),
    "F.bias_activation": (lambda **o: F.bias_activation(X, FOUR, **o), {"negative_slope": 0.5}),
    "F.binary_cross_entropy": (lambda **o: F.binary_cross_entropy(P, P, **o),
                               {"weight": P, **REDUCED}),
    "F.binary_cross_entropy_with_logits": (
        lambda **o: F.binary_cross_entropy_with_logits(X, P, **o),
        {"weight": P, "pos_weight": FOUR, **REDUCED}),
    "F.conv1d": (lambda **o: F.conv1d(LINE, waves(4, 4 // o.get("groups", 1), 2), **o),
                 {"bias": FOUR, "groups": 2, **SEEN}),
    "F.conv2d": (lambda **o: F.conv2d(IMAGE, W[:, :4 // o.get("groups", 1)], **o),
                 {"bias": FOUR, "groups": 2, **SEEN}),
    "F.conv_transpose2d": (lambda **o: F.conv_transpose2d(
        IMAGE, WT[:, :4 // o.get("groups", 1)], stride=o.pop("stride", 2), **o),
        {"bias": FOUR, "groups": 2, "output_padding": 1, **SEEN, "stride": 3}),
    "F.cross_entropy": (lambda **o: F.cross_entropy(X, LABELS, **o),
                        {"weight": FOUR, "ignore_index": 3, "label_smoothing": 0.2, **REDUCED}),
    "F.cross_entropy, soft": (lambda **o: F.cross_entropy(X, P, **o),
                              {"weight": FOUR, "ignore_index": 3, "label_smoothing": 0.2,
                               **REDUCED}),
    "F.dropout": (seeded(lambda **o: F.dropout(X, **o)),
                  {"p": 0.9, "training": False, "generator": G, "first": 2}),
    "F.elu": (lambda **o: F.elu(X, **o), {"alpha": 2.0}),
    "F.flatten": (lambda **o: F.flatten(IMAGE, **o), {"start_dim": 1, "end_dim": 2}),
    "F.fold": (lambda **o: F.fold(waves(1, 16, 9 if "dilation" in o else 4 if "stride" in o
                                        else 36 if "padding" in o else 16), (5, 5), 2, **o), SEEN),
    "F.gan_generator_loss": (lambda **o: F.gan_generator_loss(X, **o), {"saturating": True}),
    "F.gaussian_kl": (lambda **o: F.gaussian_kl(X, Y, **o), REDUCED),
    "F.gaussian_kl_between": (lambda **o: F.gaussian_kl_between(X, Y, Y, X, **o), REDUCED),
    "F.gelu": (lambda **o: F.gelu(X, **o), {"approximate": "tanh"}),
    "F.gradient_penalty": (seeded(lambda **o: F.gradient_penalty(lambda x: x * x * x, X, Y, **o)),
                           {"weight": 3.0, "generator": G, "first": 2}),
    "F.group_norm": (lambda **o: F.group_norm(X, 2, **o),
                     {"weight": FOUR, "bias": FOUR, "eps": 0.5}),
    "F.interpolate": (lambda **o: F.interpolate(IMAGE, **({"scale_factor": 2} | o)),
                      {"size": 4, "scale_factor": 3, "mode": "bilinear"}),
    "F.kl_div": (lambda **o: F.kl_div(X, P, **o), {"log_target": True, **REDUCED}),
    "F.l1_loss": (lambda **o: F.l1_loss(X, Y, **o), REDUCED),
    "F.layer_norm": (lambda **o: F.layer_norm(X, 4, **o),
                     {"weight": FOUR, "bias": FOUR, "eps": 0.5}),
    "F.leaky_relu": (lambda **o: F.leaky_relu(X, **o), {"negative_slope": 0.5}),
    "F.linear": (lambda **o: F.linear(X, Y, **o), {"bias": T([1.0, 2.0, 3.0])}),
    "F.log_softmax": (lambda **o: F.log_softmax(X, **o), {"dim": 0}),
    "F.lsgan_discriminator_loss": (lambda **o: F.lsgan_discriminator_loss(X, Y, **o),
                                   {"a": -1.0, "b": 2.0}),
    "F.lsgan_generator_loss": (lambda **o: F.lsgan_generator_loss(X, **o), {"c": 2.0}),
    "F.max_pool2d": (lambda **o: F.max_pool2d(IMAGE, 2, **o),
                     {**SEEN, "stride": 1, "ceil_mode": True, "return_indices": True}),
    "F.mse_loss": (lambda **o: F.mse_loss(X, Y, **o), REDUCED),
    "F.multi_head_attention": (
        seeded(lambda **o: F.multi_head_attention(Q, K, V, *[W[0, :, 0] @ W[1, :, 0].T] * 4, 2,
                                                  **o)),
        {"attn_mask": MASK, "is_causal": True, "dropout_p": 0.5}),
    "F.nll_loss": (lambda **o: F.nll_loss(X, LABELS, **o),
                   {"weight": FOUR, "ignore_index": 3, **REDUCED}),
    "F.normalize": (lambda **o: F.normalize(X, **o), {"dim": 0, "eps": 100.0}),
    "F.one_hot": (lambda **o: F.one_hot(LABELS, **o), {"num_classes": 7}),
    "F.pad": (lambda **o: F.pad(X, (1, 1), **o), {"mode": "reflect", "value": 2.0}),
    "F.reparameterize": (seeded(lambda **o: F.reparameterize(X, Y, **o)),
                         {"eps": X, "generator": G, "first": 2}),
    "F.scaled_dot_product_attention": (
        seeded(lambda **o: F.scaled_dot_product_attention(Q, K, V, **o)),
        {"attn_mask": MASK, "is_causal": True, "dropout_p": 0.5, "scale": 2.0}),
    "F.smooth_l1_loss": (lambda **o: F.smooth_l1_loss(X, Y, **o), {"beta": 0.1, **REDUCED}),
    "F.softmax": (lambda **o: F.softmax(X, **o), {"dim": 0}),
    "F.softplus": (lambda **o: F.softplus(X, **o), {"beta": 2.0, "threshold": -1.0}),
    "F.split": (lambda **o: F.split(X, 2, **o), {"dim": 1}),
    "F.cat": (lambda **o: F.cat([X, Y], **o), {"dim": 1}),
    "F.squeeze": (lambda **o: F.squeeze(IMAGE[..., :1], **o), {"dim": 0}),
    "F.unfold": (lambda **o: F.unfold(IMAGE, 2, **o), SEEN),
    # ---- minidl
    "minidl.no_grad": (lambda **o: type(minidl.no_grad(**o)), {"function": lambda: None}),
    "minidl.enable_grad": (lambda **o: type(minidl.enable_grad(**o)), {"function": lambda: None}),
    "minidl.keep": (lambda **o: type(minidl.keep(**o)), {"function": lambda: None}),
    "minidl.add": (lambda **o: minidl.add(X, Y, **o), {"alpha": 2}),
    "minidl.sub": (lambda **o: minidl.sub(X, Y, **o), {"alpha": 2}),
    "minidl.allclose": (lambda **o: minidl.allclose([1.0], [1.01], **o), {"rtol": 0.1, "atol": 1}),
    **{f"minidl.{name}": (lambda name=name, **o: getattr(minidl, name)(
        TIES, **({"dim": 1} if "keepdim" in o else {}) | o), {"dim": 0, **KEPT})
       for name in ("amax", "amin", "argmax", "argmin", "max", "min", "mean", "sum")},
    "minidl.var": (lambda **o: minidl.var(X, **({"dim": 1} if "keepdim" in o else {}) | o),
                   {"dim": 0, "unbiased": False, "correction": 0, **KEPT}),
    "minidl.std": (lambda **o: minidl.std(X, **({"dim": 1} if "keepdim" in o else {}) | o),
                   {"dim": 0, "unbiased": False, "correction": 0, **KEPT}),
    "minidl.norm": (lambda **o: minidl.norm(X, **({"dim": 1} if "keepdim" in o else {}) | o),
                    {"p": 3, "dim": 0, **KEPT}),
    "minidl.logsumexp": (lambda **o: minidl.logsumexp(X, 0, **o), KEPT),
    "minidl.chunk": (lambda **o: minidl.chunk(X, 2, **o), {"dim": 1}),
    "minidl.stack": (lambda **o: minidl.stack([X, Y], **o), {"dim": 1}),
    "minidl.clamp": (lambda **o: minidl.clamp(X, **({"max": 0.5} | o)), {"min": 0.0, "max": 1.0}),
    "minidl.grad": (grad_of, {"grad_outputs": T(2.0), "retain_graph": True, "create_graph": True,
                              "allow_unused": True}),
    **{f"minidl.{name}": (lambda name=name, args=args, **o: seeded(getattr(minidl, name))(
        *args, **o), {"dtype": minidl.float64, "device": "nowhere", "requires_grad": True,
                      "generator": G})
       for name, args in (("zeros", (2,)), ("ones", (2,)), ("full", ((2,), 3.0)), ("eye", (2,)),
                          ("arange", (3,)), ("linspace", (0, 1, 3)), ("rand", (2,)),
                          ("randn", (2,)), ("randint", (0, 1000, (4,))), ("randperm", (30,)),
                          ("tensor", ([1.0],)), ("zeros_like", (X,)), ("ones_like", (X,)))},
    "minidl.as_tensor": (lambda **o: minidl.as_tensor(2.0, **o), {"like": X.double()}),
    # ---- optim and init
    "optim.clear_gradients": (cleared, {"set_to_none": False}),
    "optim.clip_grad_norm_": (small_gradient, {"norm_type": 1.0, "error_if_nonfinite": True}),
    "init.calculate_gain": (lambda **o: T(nn.init.calculate_gain("leaky_relu", **o)),
                            {"param": 0.5}),
    **{f"init.{name}": (initialised(name), options | {"generator": G}) for name, options in (
        ("kaiming_normal_", {"a": 2.0, "mode": "fan_out", "nonlinearity": "tanh"}),
        ("kaiming_uniform_", {"a": 2.0, "mode": "fan_out", "nonlinearity": "tanh"}),
        ("normal_", {"mean": 1.0, "std": 2.0}), ("uniform_", {"a": -1.0, "b": 2.0}),
        ("xavier_normal_", {"gain": 2.0}), ("xavier_uniform_", {"gain": 2.0}))},
}
NOT_TRIED = {
    "minidl.op": "makes ops; tested in test_engine.py", "minidl.record": "tested in test_trace.py",
    "minidl.from_torch": "asks for PyTorch; tested in test_from_torch.py",
    **{f"minidl.{n}": f"F.{n}" for n in ("cat", "flatten", "log_softmax", "softmax", "split",
                                         "squeeze")},
}


def layer(make, *inputs, mode="train"):
    @seeded
    def call(**options):
        module = getattr(make(**options), mode)()
        out = module(*inputs)
        return out, list(module.state_dict().values())
    return call


def loss(make, *inputs):
    return lambda **options: make(**options)(*inputs)


WINDOW = {**SEEN, "ceil_mode": True}
LAYERS = {
    "Sequential": (lambda **o: float(nn.Sequential(nn.ReLU(), **o).fuse), {"fuse": False}),
    "Linear": (layer(lambda **o: nn.Linear(4, 3, **o), X), {"bias": False}),
    "Conv1d": (layer(lambda **o: nn.Conv1d(4, 4, 2, **o), LINE),
               {**SEEN, "groups": 2, "bias": False, "padding_mode": "reflect"}),
    "Conv2d": (layer(lambda **o: nn.Conv2d(4, 4, 2, **o), IMAGE),
               {**SEEN, "groups": 2, "bias": False, "padding_mode": "reflect"}),
    "ConvTranspose2d": (layer(lambda **o: nn.ConvTranspose2d(
        4, 4, 2, **{"stride": 2, **o}), IMAGE), {**SEEN, "stride": 3, "output_padding": 1,
                                                 "groups": 2, "bias": False,
                                                 "padding_mode": "reflect"}),
    "AvgPool2d": (layer(lambda **o: nn.AvgPool2d(3, **{"stride": 3, "padding": 1, **o}), IMAGE),
                  {"stride": 2, "padding": 0, "count_include_pad": False, "divisor_override": 3}),
    "AvgPool2d, uneven": (layer(lambda **o: nn.AvgPool2d(2, **o), IMAGE), {"ceil_mode": True}),
    "MaxPool2d": (layer(lambda **o: nn.MaxPool2d(2, **o), IMAGE),
                  {**WINDOW, "stride": 1, "return_indices": True}),
    "Flatten": (layer(lambda **o: nn.Flatten(**o), IMAGE), {"start_dim": 2, "end_dim": 2}),
    "Upsample": (layer(lambda **o: nn.Upsample(**({"scale_factor": 2} | o)), IMAGE),
                 {"size": 4, "scale_factor": 3, "mode": "bilinear"}),
    "BatchNorm1d": (layer(lambda **o: nn.BatchNorm1d(4, **o), X),
                    {"eps": 0.5, "momentum": 0.5, "affine": False, "track_running_stats": False}),
    "BatchNorm2d": (layer(lambda **o: nn.BatchNorm2d(4, **o), IMAGE),
                    {"eps": 0.5, "momentum": None, "affine": False, "track_running_stats": False}),
    "GroupNorm": (layer(lambda **o: nn.GroupNorm(2, 4, **o), X), {"eps": 0.5, "affine": False}),
    "LayerNorm": (layer(lambda **o: nn.LayerNorm(4, **o), X),
                  {"eps": 0.5, "elementwise_affine": False, "bias": False}),
    "ELU": (layer(lambda **o: nn.ELU(**o), X), {"alpha": 2.0, "inplace": True}),
    "GELU": (layer(lambda **o: nn.GELU(**o), X), {"approximate": "tanh"}),
    "LeakyReLU": (layer(lambda **o: nn.LeakyReLU(**o), X),
                  {"negative_slope": 0.5, "inplace": True}),
    "ReLU": (layer(lambda **o: nn.ReLU(**o), X), {"inplace": True}),
    "Softplus": (layer(lambda **o: nn.Softplus(**o), X), {"beta": 2.0, "threshold": -1.0}),
    "Dropout": (layer(lambda **o: nn.Dropout(**o), X), {"p": 0.1, "inplace": True}),
    "MultiheadAttention": (layer(lambda **o: nn.MultiheadAttention(4, 2, **o),
                                 *[array(2, 3, 4)] * 3),
                           {"dropout": 0.5, "bias": False, "batch_first": True}),
    "Residual": (layer(lambda **o: nn.Residual(nn.ReLU(), **o), X), {"shortcut": nn.Tanh()}),
    "ModuleList": (lambda **o: T(len(nn.ModuleList(**o))), {"modules": [nn.ReLU()]}),
    "ModuleDict": (lambda **o: T(len(nn.ModuleDict(**o))), {"modules": {"a": nn.ReLU()}}),
    "Parameter": (lambda **o: nn.Parameter(Z, **o), {"requires_grad": False}),
    "BCELoss": (loss(nn.BCELoss, P, P), {"weight": P, **REDUCED}),
    "BCEWithLogitsLoss": (loss(nn.BCEWithLogitsLoss, X, P),
                          {"weight": P, "pos_weight": FOUR, **REDUCED}),
    "CrossEntropyLoss": (loss(nn.CrossEntropyLoss, X, LABELS),
                         {"weight": FOUR, "ignore_index": 3, "label_smoothing": 0.2, **REDUCED}),
    "KLDivLoss": (loss(nn.KLDivLoss, X, P), {"log_target": True, **REDUCED}),
    "L1Loss": (loss(nn.L1Loss, X, Y), REDUCED), "MSELoss": (loss(nn.MSELoss, X, Y), REDUCED),
    "NLLLoss": (loss(nn.NLLLoss, X, LABELS), {"weight": FOUR, "ignore_index": 3, **REDUCED}),
    "SmoothL1Loss": (loss(nn.SmoothL1Loss, X, Y), {"beta": 0.1, **REDUCED}),
}


def stepped(make):
    def call(**options):
        p = nn.Parameter(np.array([1.0, -2.0]))
        opt = make([p], **options)
        for step in range(3):
            p.grad = T(p.numpy() * 0.5 + step)
            opt.step()
        return p
    return call


def momentous(**options):
    return stepped(optim.SGD)(momentum=0.9, **options)


def scheduled(make):
    def call(**options):
        opt = optim.SGD([nn.Parameter(np.zeros(1))], lr=0.1, momentum=0.5)
        schedule, path = make(opt, **options), []
        for _ in range(9):
            group = opt.param_groups[0]
            path += [group["lr"], group["momentum"]]
            schedule.step()
        return T(path)
    return call


def cycle(opt, **options):
    return optim.OneCycleLR(opt, 0.3, **({} if "epochs" in options else {"total_steps": 12})
                            | options)


OPTIMISERS = {
    "SGD": (stepped(optim.SGD), {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1,
                                 "nesterov": True}),
    "SGD, with momentum": (momentous, {"dampening": 0.5, "nesterov": True}),
    "RMSprop": (stepped(optim.RMSprop), {"lr": 0.1, "alpha": 0.5, "rho": 0.5, "eps": 0.1,
                                         "weight_decay": 0.1}),
    **{name: (stepped(getattr(optim, name)), {"lr": 0.1, "betas": (0.5, 0.9), "eps": 0.1,
                                              "weight_decay": 0.5}) for name in ("Adam", "AdamW")},
    "Adagrad": (stepped(optim.Adagrad), {"lr": 0.1, "lr_decay": 0.5, "weight_decay": 0.1,
                                         "initial_accumulator_value": 1.0, "eps": 0.1}),
    "StepLR": (scheduled(lambda opt, **o: optim.StepLR(opt, 2, **o)), {"gamma": 0.5}),
    "CosineAnnealingLR": (scheduled(lambda opt, **o: optim.CosineAnnealingLR(opt, 5, **o)),
                          {"eta_min": 0.05}),
    "OneCycleLR": (scheduled(cycle), {
        "total_steps": 20, "epochs": 3, "steps_per_epoch": 2, "pct_start": 0.5,
        "anneal_strategy": "linear", "cycle_momentum": False, "base_momentum": 0.7,
        "max_momentum": 0.99, "div_factor": 10.0, "final_div_factor": 10.0}),
}
BOTH = {"epochs": {"steps_per_epoch": 5}, "steps_per_epoch": {"epochs": 2}}   # only together
ROWS = {**FUNCTIONS, **LAYERS, **OPTIMISERS}


def outcome(call, **options):
    """What comes out, in a form that can be compared; a refusal is an outcome too."""
    try:
        found = call(**options)
    except (TypeError, ValueError, RuntimeError) as error:
        return type(error).__name__
    def plain(y):
        if isinstance(y, (tuple, list)):
            return [plain(v) for v in y]
        return (y.numpy().tolist(), str(y.dtype), y.requires_grad) if isinstance(
            y, minidl.Tensor) else y
    return repr(plain(found))


@pytest.mark.parametrize("name, option", [
    (n, o) for n, (_, options) in ROWS.items() for o in options])
def test_an_option_changes_the_result_or_is_refused(name, option):
    call, options = ROWS[name]
    if option not in options_of(name):
        return
    base = {} if name != "OneCycleLR" else BOTH.get(option, {})
    without = outcome(call, **({"epochs": 2, "steps_per_epoch": 6} if base else {}))
    assert outcome(call, **base, **{option: options[option]}) != without
    assert outcome(call) == outcome(call), "a call that differs from itself shows nothing"


def parameters(f) -> list:
    return [p for p in inspect.signature(f).parameters.values() if p.name != "self"]


def public() -> dict:
    """Every public function and class with options, by the name of its rows."""
    found = {}
    for where, module in (("minidl", minidl), ("F", F), ("optim", optim), ("init", nn.init)):
        offered = getattr(module, "__all__", None)           # or else what the module defines
        named = {name: getattr(module, name) for name in offered or vars(module)}
        found |= {f"{where}.{name}": f for name, f in named.items()
                  if name[0] != "_" and callable(f) and not inspect.isclass(f)
                  and getattr(f, "__module__", "").startswith("minidl")
                  and (offered or f.__module__ == module.__name__)}
    for module in (nn, optim, schedules):
        found |= {c.__name__: c for c in vars(module).values() if inspect.isclass(c)
                  and c.__module__.startswith("minidl") and c not in (minidl.Tensor, nn.Module)}
    return found


PUBLIC = public()


def options_of(row: str) -> set[str]:
    """The options of the function or class that a row is about."""
    return {p.name for p in parameters(PUBLIC[row.partition(",")[0]]) if p.default is not p.empty}


def test_every_option_has_a_row():
    tried: dict[str, set] = {}
    for row, (_, options) in ROWS.items():
        tried.setdefault(row.partition(",")[0], set()).update(options)
    missing = {name: sorted(options) for name in PUBLIC if name not in NOT_TRIED
               and (options := options_of(name) - tried.get(name, set()))}
    assert not missing
    assert set(NOT_TRIED) <= set(PUBLIC)


def test_attention_layers_call_has_no_idle_option():
    minidl.manual_seed(1)
    attend = nn.MultiheadAttention(4, 2, batch_first=True)
    x = array(2, 3, 4)
    changed = {"key_padding_mask": T([[False, True, False]] * 2), "need_weights": False,
               "attn_mask": T(np.triu(np.ones((3, 3), bool), 1)), "average_attn_weights": False,
               "is_causal": True}
    names = [p.name for p in parameters(attend.forward) if p.default is not p.empty]
    assert sorted(names) == sorted(changed)
    for name, value in changed.items():
        assert outcome(lambda **o: attend(x, x, x, **o), **{name: value}) != outcome(
            lambda: attend(x, x, x))


CLASSES = dict.fromkeys(c for public in (
    minidl.Tensor, *(c for c in PUBLIC.values() if inspect.isclass(c)), nn.Module)
    for c in public.__mro__ if c.__module__.startswith("minidl"))
METHODS = {f.__qualname__: f for c in CLASSES for name, f in vars(c).items()
    if inspect.isfunction(f) and name != "__init__"
    and not inspect.unwrap(f).__code__.co_filename.startswith("<")}     # those of dataclasses
PROTOCOLS = {"forward", "multiply_adds", "_start", "_update", "_lr", "_set"}
"""What a base class asks of all: one of them may have no use for an argument."""


@pytest.mark.parametrize("name", METHODS)
def test_every_argument_of_a_method_is_read(name):
    f = METHODS[name]
    if f.__name__ not in PROTOCOLS or name.endswith(".forward") and name != "Module.forward":
        body = ast.parse(textwrap.dedent(inspect.getsource(f))).body[0].body
        read = {n.id for part in body for n in ast.walk(part)
                if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
        assert {p.name for p in parameters(f)} <= read


# --------------------------------------------------------------------------- of another kind
PARAMETERS = [nn.Parameter(np.zeros(2, np.float32))]
MORE = {
    **{name: () for name in ("BCELoss", "BCEWithLogitsLoss", "CrossEntropyLoss", "KLDivLoss",
                             "L1Loss", "MSELoss", "NLLLoss", "SmoothL1Loss")},
    **{name: (PARAMETERS,) for name in ("Adagrad", "Adam", "AdamW", "RMSprop")},
    "AdaptiveAvgPool2d": (1,), "Embedding": (3, 4), "LogSoftmax": (1,), "Softmax": (1,),
    "PixelShuffle": (2,), "Unflatten": (1, (2, 2)), "F.bernoulli_log_likelihood": (X, P),
    "F.gaussian_log_likelihood": (X, P), "F.elbo": (X, Y), "F.embedding": (LABELS, Y.mT),
    "F.pixel_shuffle": (IMAGE, 2), "F.residual": (X, F.relu), "F.same_padding": (5, 3, 1, 1),
    **{f"F.{name}": (P, Y) for name in ("wgan_critic_loss",)},
    **{f"F.{name}": (P, P) for name in ("gan_value", "gan_discriminator_loss",
                                        "score_dot", "score_scaled_dot")},
    "F.wgan_generator_loss": (P,), "F.score_general": (X, Y, Y.mT @ X),
    "F.score_additive": (X, Y, Y, Y, FOUR[:3]), "init.ones_": (PARAMETERS[0],),
    "init.constant_": (PARAMETERS[0], 2.0),
    "init.pytorch_": (nn.Parameter(np.zeros((2, 3), np.float32)), PARAMETERS[0]),
    **{f"minidl.{name}": (P,) for name in ("abs", "cos", "exp", "log", "neg", "relu", "sigmoid",
                                           "sin", "sqrt", "tanh")},
    **{f"minidl.{name}": (P, Y) for name in ("div", "maximum", "minimum", "mul", "pow")},
    "F.sigmoid": (P,), "minidl.matmul": (X, Y.mT), "minidl.flip": (X, 1),
    "F.expand": (X, 2, *X.shape), "F.reshape": (X, 4, 3), "F.unsqueeze": (X, 0),
    "F.permute": (X, 1, 0), "minidl.permute": (X, 1, 0), "minidl.reshape": (X, 4, 3),
    "minidl.transpose": (X, 0, 1), "minidl.unsqueeze": (X, 0), "minidl.where": (X > 0, X, Y),
    "optim.clip_grad_value_": (PARAMETERS, 1.0), "minidl.set_num_threads": (1,),
    "minidl.use_kernels": ("fast",),
}
"""Calls of what no row calls by its name."""


@functools.cache
def calls() -> dict:
    """(function, arguments, value) for each argument of each public function and class: a call that
    works, one in which the argument is given if there is one, and what it is there."""
    places = {"minidl": minidl, "F": F, "optim": optim, "init": nn.init}
    found: dict[tuple[str, str], tuple] = {}

    def remember(name, f, args, options):
        bound = inspect.signature(f).bind(*args, **options)
        bound.apply_defaults()
        for key, value in bound.arguments.items():
            if value is not None or (name, key) not in found:
                found[name, key] = (f, bound, value)

    def listening(name, f):
        def call(*args, **options):
            y = f(*args, **options)
            remember(name, f, args, options)
            return y
        return call

    with pytest.MonkeyPatch.context() as patch:
        for name, f in PUBLIC.items():
            where, _, own = name.rpartition(".")
            for home in [places[where]] if where else [nn, optim, schedules]:
                if hasattr(home, own):
                    patch.setattr(home, own, listening(name, f))
        for call, options in ROWS.values():
            for option in ({}, *({key: value} for key, value in options.items())):
                outcome(call, **option)
    for name, args in MORE.items():
        remember(name, PUBLIC[name], args, {})
    return found


SIZES = {"stride", "padding", "dilation", "kernel_size", "output_size", "output_padding",
         "normalized_shape", "dim", "size", "unflattened_size"}
OBJECT = object()
ARRAYS = [["x"], [[1.0], [1.0, 2.0]], np.zeros(3, np.float16), np.array([1j]),
          np.ma.masked_array([1.0], True)]
WRONG = {"Tensor": ["x", OBJECT, None, *ARRAYS], "InPlace": ["x", None, [0.0, 0.0], np.zeros(2)],
         "Sequence[Tensor]": ["x", X, OBJECT, None, 3, [X, OBJECT]],
         "int": ["x", 1.5, True, None, np.nan, [1], 1j, OBJECT, X],
         "float": ["x", 1j, True, None, [1.5], OBJECT, X, 10**400],
         "bool": ["x", 2, 1, np.int64(0), None, [True], OBJECT, X],
         "str": [3, None, OBJECT, b"mean", ["mean"]],
         "Callable": ["x", 3, None, X], "Generator": ["x", 3, np.random.default_rng(0)],
         "sizes": ["x", 1.5, np.nan, [1.5], 1j, OBJECT, True]}
NOT_GATES = {"minidl.as_tensor", "Parameter", "Summary", "F.needs_floats", "F.same_floats",
             "optim.replaceable", "optim.move", "init.move", "minidl.grad", "minidl.use_kernels",
             *(name for name in PUBLIC if name.endswith(("_grad", ".keep")))}
"""What says itself what it expects, and what is not public."""


def kind_of(name: str, argument: str) -> str | None:
    kind = arguments.kind_of(inspect.signature(PUBLIC[name]).parameters[argument])
    kind = kind.removesuffix(" | None")
    of_several = inspect.signature(PUBLIC[name]).parameters[argument].kind.name == "VAR_POSITIONAL"
    return kind if kind in WRONG else "sizes" if argument in SIZES and not of_several else None


CHECKED = sorted((name, argument) for name in PUBLIC.keys() - NOT_TRIED.keys() - NOT_GATES
                 for argument in inspect.signature(PUBLIC[name]).parameters
                 if kind_of(name, argument))


@pytest.mark.parametrize("name, argument", CHECKED)
def test_an_argument_of_another_kind_is_refused_by_name(name, argument):
    f, bound, value = calls()[name, argument]
    optional = arguments.kind_of(inspect.signature(f).parameters[argument]).endswith("None")
    for wrong in WRONG[kind_of(name, argument)]:
        if wrong is None and (optional or value is None):
            continue
        if wrong is True and name in ("minidl.var", "minidl.std"):      # their `unbiased`
            continue
        call = inspect.BoundArguments(bound.signature, dict(bound.arguments) | {argument: wrong})
        with pytest.raises((TypeError, ValueError)) as refused:
            f(*call.args, **call.kwargs)
        own = name.rpartition(".")[2]
        assert re.match(rf"{own}: .*\b{argument}\b", str(refused.value)), (wrong, refused.value)
        assert len(str(refused.value)) < 240


@pytest.mark.parametrize("name, argument", [c for c in CHECKED if kind_of(*c) == "Tensor"])
def test_an_array_or_a_list_is_as_good_as_a_tensor(name, argument):
    f, bound, value = calls()[name, argument]
    value = (calls()["F.batch_norm", "weight"][2] if value is None else value).detach()
    def result(given):
        G.manual_seed(7)
        call = inspect.BoundArguments(bound.signature, dict(bound.arguments) | {argument: given})
        made = seeded(f)(*call.args, **call.kwargs)
        return getattr(made, argument) if isinstance(made, nn.Module) else made
    want = outcome(result, given=value)
    assert not want.endswith("Error'")
    assert outcome(result, given=value.numpy()) == outcome(result, given=value.tolist()) == want


MODULES = {
    "Linear": (nn.Linear(3, 2), [[1.0, 2.0, 3.0]]),
    "ReLU": (nn.ReLU(), [1.0, -2.0]), "LeakyReLU": (nn.LeakyReLU(), [1.0, -2.0]),
    "ELU": (nn.ELU(), [1.0, -2.0]), "GELU": (nn.GELU(), [1.0, -2.0]),
    "Softplus": (nn.Softplus(), [1.0]), "Sigmoid": (nn.Sigmoid(), [1.0]),
    "Tanh": (nn.Tanh(), [1.0]), "Softmax": (nn.Softmax(0), [1.0, 2.0]),
    "LogSoftmax": (nn.LogSoftmax(0), [1.0, 2.0]), "Dropout": (nn.Dropout(0.0), [1.0]),
    "Embedding": (nn.Embedding(3, 2), [1, 2]),
    "BatchNorm1d": (nn.BatchNorm1d(2).eval(), [[1.0, 2.0], [3.0, 5.0]]),
    "BatchNorm2d": (nn.BatchNorm2d(1).eval(), IMAGE[:, :1].tolist()),
    "LayerNorm": (nn.LayerNorm(2), [1.0, 2.0]), "GroupNorm": (nn.GroupNorm(1, 2), [[1.0, 2.0]]),
    "Conv1d": (nn.Conv1d(4, 2, 2), LINE.tolist()), "Conv2d": (nn.Conv2d(4, 2, 2), IMAGE.tolist()),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 2, 2), IMAGE.tolist()),
    "MaxPool2d": (nn.MaxPool2d(2), IMAGE.tolist()), "AvgPool2d": (nn.AvgPool2d(2), IMAGE.tolist()),
    "AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d(1), IMAGE.tolist()),
    "Flatten": (nn.Flatten(), IMAGE.tolist()), "Upsample": (nn.Upsample(6), IMAGE.tolist()),
    "Unflatten": (nn.Unflatten(1, (2, 2)), IMAGE.tolist()),
    "PixelShuffle": (nn.PixelShuffle(2), IMAGE.tolist()),
    "Residual": (nn.Residual(nn.Tanh()), [1.0]),
    "MultiheadAttention": (nn.MultiheadAttention(4, 2), *[waves(2, 3, 4).tolist()] * 3),
    "Sequential": (nn.Sequential(nn.Linear(3, 2), nn.ReLU()), [[1.0, 2.0, 3.0]]),
    "Sequential, pooled": (nn.Sequential(nn.Conv2d(4, 2, 2), nn.ReLU(), nn.MaxPool2d(2)),
                           IMAGE.tolist()),
    "MSELoss": (nn.MSELoss(), [1.0], [2.0]), "L1Loss": (nn.L1Loss(), [1.0], [2.0]),
    "SmoothL1Loss": (nn.SmoothL1Loss(), [1.0], [2.0]), "NLLLoss": (nn.NLLLoss(), [[-1.0]], [0]),
    "CrossEntropyLoss": (nn.CrossEntropyLoss(), [[1.0, 2.0]], [0]),
    "BCELoss": (nn.BCELoss(), [0.5], [1.0]), "KLDivLoss": (nn.KLDivLoss(), [-1.0], [0.5]),
    "BCEWithLogitsLoss": (nn.BCEWithLogitsLoss(), [0.5], [1.0]),
}


def test_every_layer_is_called_with_lists():
    left_out = {"Identity", "Module", "ModuleDict", "ModuleList"}           # of their own kind
    layers = {name for name, c in vars(nn).items() if inspect.isclass(c)
              and issubclass(c, nn.Module)}
    assert layers - left_out <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_layer_takes_lists_and_refuses_what_has_no_numbers(name):
    module, *inputs = MODULES[name]
    assert outcome(lambda: module(*inputs)) == outcome(lambda: module(*map(T, inputs)))
    for i in range(len(inputs)):
        for wrong in ("x", None):
            with pytest.raises(TypeError, match=r"^\w+: \w+ must be a tensor or numbers, got"):
                module(*inputs[:i], wrong, *inputs[i + 1:])


@pytest.mark.parametrize("mask", ["key_padding_mask", "attn_mask"])
def test_a_mask_that_has_no_numbers_is_refused_by_name(mask):
    with pytest.raises(TypeError, match=f"MultiheadAttention: {mask} must be a tensor or numbers"):
        nn.MultiheadAttention(4, 2)(Q, Q, Q, **{mask: "x"})


def test_axes_may_be_an_array():
    for dims in ([0, 1], (0, 1), range(2), np.array([0, 1])):
        assert minidl.norm(minidl.ones(2, 2), dim=dims).item() == 2
        assert minidl.squeeze(minidl.ones(1, 1, 1), dims).shape == (1,)


GOOD = {"int": [np.int64, np.int16, np.array], "bool": [np.bool_],
        "float": [np.float64, np.array, lambda v: T(np.float64(v))]}


@pytest.mark.parametrize("name, argument", [c for c in CHECKED if kind_of(*c) in GOOD])
def test_numpys_numbers_are_as_good_as_pythons(name, argument):
    f, bound, value = calls()[name, argument]
    if value is None or name in ("minidl.set_num_threads", "optim.clip_grad_norm_"):
        return                                        # what changes more than what it returns
    def result(given):
        G.manual_seed(7)
        call = inspect.BoundArguments(bound.signature, dict(bound.arguments) | {argument: given})
        made = seeded(f)(*call.args, **call.kwargs)
        return str(made.state_dict() if hasattr(made, "last_epoch")
                   else made) if inspect.isclass(f) else made
    kind = kind_of(name, argument)
    want = outcome(result, given=value)
    for same in GOOD[kind][:1 if hasattr(optim, name) else None]:      # which check for themselves
        assert outcome(result, given=same(value)) == want


def test_a_number_takes_the_dtype_of_the_tensor_beside_it():
    x = T(np.full((), 0.25))
    for loss in (F.mse_loss(x, 0.1), F.mse_loss(input=x, target=0.1),
                 F.mse_loss(target=0.1, input=x)):
        assert loss.dtype == "float64" and loss.item() == (0.25 - 0.1)**2


def test_what_is_a_value_passes_the_gate():
    assert np.isnan(F.pad(X, (1, 1), value=np.nan).numpy()[:, 0]).all()
    assert (F.pad(X, (1, 1), value=None).numpy()[:, 0] == 0).all()
    assert np.isnan(F.leaky_relu(T([-1.0]), np.nan).item())
    assert (optim.clip_grad_norm_(PARAMETERS, np.inf)).item() == 0
    assert minidl.stack(map(T, ([1.0], [2.0]))).tolist() == [[1], [2]]
    assert minidl.full(np.array([2, 1]), 1.0).shape == (2, 1) == minidl.zeros(range(2, 0, -1)).shape
    slope = T(0.5, requires_grad=True)
    with pytest.raises(TypeError, match="negative_slope must be a number: .*use .item()"):
        F.leaky_relu(X, slope)


def test_an_op_of_ones_own_has_no_gate():
    @minidl.op
    def scaled(x: minidl.Tensor, *dims: int, k: int = None, s: float = "word"):
        return x.data * (k or 2), lambda gy: gy * (k or 2)
    assert scaled(T([1.0])).item() == 2 and scaled(T([1.0]), "a", k=2.5).item() == 2.5


OUT_OF_RANGE = [
    ("BatchNorm2d", lambda v: nn.BatchNorm2d(3, eps=v), "eps", [-1]),
    ("BatchNorm2d", lambda v: nn.BatchNorm2d(3, momentum=v), "momentum", [-0.1, 1.5]),
    ("BatchNorm1d", lambda v: nn.BatchNorm1d(v), "num_features", [0, -3]),
    ("LayerNorm", lambda v: nn.LayerNorm(v), "normalized_shape", [0, (3, -1)]),
    ("GroupNorm", lambda v: nn.GroupNorm(v, 4), "num_groups", [0, -1, 3]),
    ("Linear", lambda v: nn.Linear(3, v), "out_features", [0, -1]),
    ("Embedding", lambda v: nn.Embedding(v, 3), "num_embeddings", [0]),
    ("MultiheadAttention", lambda v: nn.MultiheadAttention(v, 2), "embed_dim", [0, -2, 3]),
    ("Dropout", lambda v: nn.Dropout(v), "p", [-0.1, 1.1]),
    ("MultiheadAttention", lambda v: nn.MultiheadAttention(4, 2, v), "dropout", [-0.1, 2.0]),
    ("GELU", lambda v: nn.GELU(v), "approximate", ["erf"]),
    ("SmoothL1Loss", lambda v: nn.SmoothL1Loss(beta=v), "beta", [-1]),
    ("CrossEntropyLoss", lambda v: nn.CrossEntropyLoss(label_smoothing=v), "label_smoothing",
     [-0.1, 2]),
    ("Upsample", lambda v: nn.Upsample(scale_factor=v), "scale_factor", [0, -1, (2, np.inf)]),
    ("Softplus", lambda v: nn.Softplus(v), "beta", [0]),
    ("MaxPool2d", lambda v: nn.MaxPool2d(v), "kernel_size", [0, (2, -1), (1, 2, 3), 2**40]),
    ("AvgPool2d", lambda v: nn.AvgPool2d(2, padding=v), "padding", [-1]),
    ("batch_norm", lambda v: batch_norm(eps=v), "eps", [-1]),
    ("layer_norm", lambda v: F.layer_norm(X, 4, eps=v), "eps", [-1]),
    ("group_norm", lambda v: F.group_norm(X, 2, eps=v), "eps", [-1]),
    ("normalize", lambda v: F.normalize(X, eps=v), "eps", [-1]),
    ("softplus", lambda v: F.softplus(X, v), "beta", [0]),
    ("scaled_dot_product_attention",
     lambda v: F.scaled_dot_product_attention(Q, K, V, dropout_p=v), "dropout_p", [-0.1, 2]),
    ("interpolate", lambda v: F.interpolate(IMAGE, scale_factor=v), "scale_factor",
     [0, -1, np.inf, np.nan]),
    ("one_hot", lambda v: F.one_hot(LABELS, v), "num_classes", [-2]),
    ("conv2d", lambda v: F.conv2d(IMAGE, W, stride=v), "stride",
     [0, (1, -1), (), (1, 2, 3), 2**40]),
    ("conv1d", lambda v: F.conv1d(LINE, W[:, :, 0], stride=v), "stride", [0, (1, 2)]),
    ("zeros", lambda v: minidl.zeros(v), "size", [-1, (2, -1)]),
    ("randint", lambda v: minidl.randint(v, 3, (2,)), "low", [3, 4]),
    ("clip_grad_norm_", lambda v: optim.clip_grad_norm_(PARAMETERS, v), "max_norm", [-1]),
    ("clip_grad_norm_", lambda v: optim.clip_grad_norm_(PARAMETERS, 1, v), "norm_type", [0, 0.5]),
    ("clip_grad_value_", lambda v: optim.clip_grad_value_(PARAMETERS, v), "clip_value", [-1]),
    ("uniform_", lambda v: nn.init.uniform_(nn.Parameter(Z), 0, v), "b", [-1]),
    ("normal_", lambda v: nn.init.normal_(nn.Parameter(Z), 0, v), "std", [-1]),
    ("OneCycleLR", lambda v: optim.OneCycleLR(optim.SGD(PARAMETERS, momentum=0.9), 1, 9,
                                              max_momentum=v), "max_momentum", [-1]),
    ("SGD.load_state_dict", lambda v: optim.SGD(PARAMETERS).load_state_dict(v), "state_dict",
     [None, {}, []]),
]


@pytest.mark.parametrize("name, call, argument, values", OUT_OF_RANGE,
                         ids=[f"{row[0]}-{row[2]}" for row in OUT_OF_RANGE])
def test_an_argument_out_of_its_range_is_refused_by_name(name, call, argument, values):
    for wrong in values:
        with pytest.raises(ValueError, match=rf"^{name}: .*\b{argument}\b"):
            call(wrong)


def test_a_list_of_tensors_that_require_grad_is_refused():
    """No gradient would go through the array that is made of it; `tensor` makes such arrays."""
    x, a, b = waves(2), nn.Parameter(np.float32(1)), nn.Parameter(np.float32(3))
    for call in (lambda: F.mse_loss(x, [a, b]), lambda: F.softmax([a, b], 0), lambda: x + [a, b],
                 lambda: [a, b] * x, lambda: minidl.stack([[a], [b]]), lambda: x.clamp(max=[a, b]),
                 lambda: F.linear(x, [[a, 1.0]]), lambda: minidl.where(x > 0, [a, b], x),
                 lambda: minidl.cat([[a], [b]]), lambda: minidl.sum([a, [b]])):
        with pytest.raises(TypeError, match="require grad: no gradient would go through it"):
            call()
    assert minidl.tensor([a, b]).tolist() == [1, 3]
    with pytest.raises(TypeError, match="nll_loss: weight requires grad, and gets none here"):
        F.nll_loss(X, LABELS, nn.Parameter(np.ones(4, np.float32)))


@pytest.mark.parametrize("use", [
    lambda w, a: w * a, lambda w, a: F.linear(a, w.reshape(1, 2)), lambda w, a: F.mse_loss(w, a),
    lambda w, a: w / a, lambda w, a: a @ w, lambda w, a: F.layer_norm(a, 2, w),
    lambda w, a: F.conv1d(a[None, None], w.reshape(1, 1, 2))])
def test_a_caller_may_write_into_an_array_that_was_an_operand(use):
    def gradient(overwrite):
        w, a = T([0.5, 2.0], requires_grad=True), np.float32([1, 3])
        y = use(w, a).sum()
        a[:] = 7 if overwrite else a
        y.backward()
        return w.grad.tolist()
    assert gradient(True) == gradient(False)


@pytest.mark.parametrize("call, message", [
    (lambda: F.layer_norm(waves(1, 2, 3), (2, 3), waves(3, 2)), r"layer_norm: weight .* \(2, 3\)"),
    (lambda: F.layer_norm(waves(2, 3), ()), "layer_norm: input"),
    (lambda: F.group_norm(waves(1, 2, 3), 2, waves(1, 2)), r"group_norm: weight .* \(2,\)"),
    (lambda: F.group_norm(waves(1, 3, 3), 3, None, waves(2)), r"group_norm: bias .* \(3,\)"),
    (lambda: F.batch_norm(X, waves(1, 4), waves(4)), r"batch_norm: running_mean .* \(4,\)"),
    (lambda: F.binary_cross_entropy(P[0], P[0], waves(4, 1)), "binary_cross_entropy: weight"),
    (lambda: F.binary_cross_entropy_with_logits(X, P, waves(2, 3, 4)), "logits: weight"),
    (lambda: F.binary_cross_entropy_with_logits(X, P, pos_weight=waves(2, 1, 4)), "pos_weight"),
    (lambda: F.scaled_dot_product_attention(T(1.0), X, X), "scaled_dot_product_attention: query"),
])
def test_a_parameter_of_another_shape_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_integers_larger_than_any_float():
    for call in (lambda: X + 10**400, lambda: F.mse_loss(X, 10**400),
                 lambda: F.leaky_relu(X, 10**400), lambda: optim.SGD(PARAMETERS, lr=10**5000)):
        with pytest.raises(ValueError, match="integer of [0-9]+ bits"):
            call()
