"""Which layer of PyTorch is which layer here, and which of the layer's options are read.

A layer that minidl.nn has under the same name takes the options under the same names. The others
are a function with options, and perhaps parameters: `FunctionLayer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .. import functional as F
from .. import nn
from ..tensor import Tensor
from . import compositions as made

# torch.nn.<name> is minidl.nn.<name>, made with these attributes of the layer. `bias` and the
# weights of losses are asked for as such: is there one?
SAME: dict[str, str] = {
    "Linear": "in_features out_features bias",
    **dict.fromkeys(("Conv1d", "Conv2d"), "in_channels out_channels kernel_size stride padding "
                                          "dilation groups bias padding_mode"),
    "ConvTranspose2d": "in_channels out_channels kernel_size stride padding output_padding groups "
                       "bias dilation padding_mode",
    "MaxPool2d": "kernel_size stride padding dilation return_indices ceil_mode",
    "AvgPool2d": "kernel_size stride padding ceil_mode count_include_pad divisor_override",
    **dict.fromkeys(("BatchNorm1d", "BatchNorm2d"),
                    "num_features eps momentum affine track_running_stats"),
    "LayerNorm": "normalized_shape eps elementwise_affine bias",
    "GroupNorm": "num_groups num_channels eps affine",
    "ReLU": "", "Tanh": "", "Sigmoid": "", "Identity": "", "LeakyReLU": "negative_slope",
    "ELU": "alpha", "GELU": "approximate", "Softplus": "beta threshold", "Softmax": "dim",
    "LogSoftmax": "dim", "Dropout": "p", "Flatten": "start_dim end_dim",
    "Unflatten": "dim unflattened_size", "PixelShuffle": "upscale_factor",
    "MultiheadAttention": "embed_dim num_heads dropout bias batch_first",
    "MSELoss": "reduction", "L1Loss": "reduction", "SmoothL1Loss": "reduction beta",
    "NLLLoss": "weight ignore_index reduction", "BCELoss": "weight reduction",
    "CrossEntropyLoss": "weight ignore_index reduction label_smoothing",
    "BCEWithLogitsLoss": "weight reduction pos_weight", "KLDivLoss": "reduction log_target",
}
PARAMETERS = "weight", "bias"          # of a FunctionLayer, those that it has


class OfFunction(NamedTuple):
    """A layer that is a function of its input, with these attributes of the layer as options."""

    function: Callable
    options: str = ""
    mode: str = ""                     # the option that says whether the layer is in training


WRITTEN_AS_FUNCTIONS: dict[str, OfFunction] = {
    "SiLU": OfFunction(made.silu), "Mish": OfFunction(made.mish), "ReLU6": OfFunction(made.relu6),
    "Hardtanh": OfFunction(made.hardtanh, "min_val max_val"), "SELU": OfFunction(made.selu),
    "Hardsigmoid": OfFunction(made.hardsigmoid), "Hardswish": OfFunction(made.hardswish),
    "CELU": OfFunction(made.celu, "alpha"), "Softsign": OfFunction(made.softsign),
    "LogSigmoid": OfFunction(made.logsigmoid), "GLU": OfFunction(made.glu, "dim"),
    "PReLU": OfFunction(made.prelu),
    "MaxPool1d": OfFunction(made.max_pool1d, "kernel_size stride padding dilation ceil_mode"),
    "AvgPool1d": OfFunction(made.avg_pool1d,
                            "kernel_size stride padding ceil_mode count_include_pad"),
    "AdaptiveAvgPool1d": OfFunction(made.adaptive_avg_pool1d, "output_size"),
    "AdaptiveAvgPool2d": OfFunction(made.adaptive_avg_pool2d, "output_size"),
    "AdaptiveMaxPool1d": OfFunction(made.adaptive_max_pool1d, "output_size"),
    "AdaptiveMaxPool2d": OfFunction(made.adaptive_max_pool2d, "output_size"),
    "ConvTranspose1d": OfFunction(made.conv_transpose1d,
                                  "stride padding output_padding groups dilation"),
    "InstanceNorm1d": OfFunction(made.instance_norm, "eps"),
    "InstanceNorm2d": OfFunction(made.instance_norm, "eps"),
    "RMSNorm": OfFunction(made.rms_norm, "normalized_shape eps"),
    "Dropout1d": OfFunction(made.channel_dropout, "p", mode="training"),
    "Dropout2d": OfFunction(made.channel_dropout, "p", mode="training"),
    "Embedding": OfFunction(made.embedded, "padding_idx"),
    "Upsample": OfFunction(made.resized, "size scale_factor mode align_corners"),
    **{f"{kind}Pad{axes}d": OfFunction(made.padded, "pad mode")
       for kind in ("Zero", "Reflection", "Replication", "Circular") for axes in (1, 2)},
    **{f"ConstantPad{axes}d": OfFunction(made.padded, "pad value") for axes in (1, 2)},
    "CosineSimilarity": OfFunction(made.cosine_similarity, "dim eps"),
    "HuberLoss": OfFunction(made.huber_loss, "reduction delta"),
    "Bilinear": OfFunction(made.bilinear),
}
PADS = {"Zero": "constant", "Reflection": "reflect", "Replication": "replicate",
        "Circular": "circular"}
# What a subclass of a layer may define and still be that layer.
HARMLESS = {"__init__", "__module__", "__doc__", "__qualname__", "__annotations__", "extra_repr",
            "reset_parameters", "_init_weights", "__constants__", "__static_attributes__",
            "__firstlineno__", "__parameters__"}
# Options that change the numbers, where they are not this.
USUAL: dict[str, dict[str, Any]] = {
    "MultiheadAttention": {"bias_k": None, "bias_v": None, "add_zero_attn": False},
    "Embedding": {"max_norm": None, "scale_grad_by_freq": False, "sparse": False},
    "AvgPool1d": {"divisor_override": None},
    "MaxPool1d": {"return_indices": False}, "AdaptiveMaxPool1d": {"return_indices": False},
    "AdaptiveMaxPool2d": {"return_indices": False}, "ConvTranspose1d": {"padding_mode": "zeros"},
    **dict.fromkeys(("InstanceNorm1d", "InstanceNorm2d"), {"track_running_stats": False}),
}


class FunctionLayer(nn.Module):
    """A layer that is a function of its inputs, with options, weight and bias: shown under
    PyTorch's name for the layer."""

    def __init__(self, kind: OfFunction, options: dict[str, Any]):
        super().__init__()
        self._function, self._options, self._mode = kind.function, options, kind.mode
        for name, value in options.items():
            object.__setattr__(self, name, value)          # for the repr

    def forward(self, *inputs: Tensor) -> Tensor:
        given = {name: self.__dict__[name] for name in PARAMETERS if name in self._kinds}
        if self._mode:
            given[self._mode] = self.training
        return self._function(*inputs, **self._options, **given)


class TransformerEncoderLayer(nn.Module):
    """x + attention(x), then x + mlp(x), and layer norm behind or, with `norm_first`, in front of
    both: PyTorch's layer, its children under PyTorch's names."""

    def __init__(self, children: dict[str, nn.Module], activation: Callable | None,
                 norm_first: bool):
        super().__init__()
        self.norm_first = norm_first
        if activation is not None:
            self.activation = activation
        for name, child in children.items():
            self.add_module(name, child)

    def forward(self, src: Tensor, src_mask: Tensor | None = None,
                src_key_padding_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
        def attended(x: Tensor) -> Tensor:
            return self.dropout1(self.self_attn(x, x, x, attn_mask=src_mask, need_weights=False,
                                                key_padding_mask=src_key_padding_mask)[0])

        def mlp(x: Tensor) -> Tensor:
            return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))

        if self.norm_first:
            x = src + attended(self.norm1(src))
            return x + mlp(self.norm2(x))
        x = self.norm1(src + attended(src))
        return self.norm2(x + mlp(x))


class TransformerEncoder(nn.Module):
    """Encoder layers one after the other, and a norm behind the last if there is one."""

    def __init__(self, layers: nn.Module, norm: nn.Module | None):
        super().__init__()
        self.layers = layers
        self.add_module("norm", norm)

    def forward(self, src: Tensor, mask: Tensor | None = None,
                src_key_padding_mask: Tensor | None = None, is_causal: bool | None = None
                ) -> Tensor:
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


def kind_of_layer(module: Any, torch: Any) -> str | None:
    """The name of the layer of torch.nn that `module` is, of those known here, or of its plain
    subclass; None for another module."""
    own: set[str] = set()
    for kind in type(module).__mro__:
        known = kind.__name__ in {*SAME, *WRITTEN_AS_FUNCTIONS, *CONTAINERS}
        if known and getattr(torch.nn, kind.__name__, None) is kind:
            return kind.__name__ if own <= HARMLESS else None
        own |= set(vars(kind))
    return None


CONTAINERS = ("Sequential", "ModuleList", "ModuleDict", "TransformerEncoderLayer",
              "TransformerEncoder")


def mapped_layer(kind: str, layer: Any, tensor_of: Callable) -> nn.Module:
    """The layer of minidl for a layer of PyTorch, its weights still to be copied. Raises ValueError
    or TypeError for an option that is not offered."""
    for option, usual in USUAL.get(kind, {}).items():
        if getattr(layer, option, usual) != usual:
            raise ValueError(f"{option}={getattr(layer, option)!r} is not offered")
    if kind == "MultiheadAttention" and not layer._qkv_same_embed_dim:
        raise ValueError("keys or values of another width, kdim or vdim, are not offered")
    if kind == "Embedding" and layer.padding_idx is None:
        return nn.Embedding(layer.num_embeddings, layer.embedding_dim)
    if kind == "AdaptiveAvgPool2d" and layer.output_size in (1, (1, 1)):
        return nn.AdaptiveAvgPool2d(1)
    if kind == "Upsample" and layer.mode == "nearest":
        return nn.Upsample(layer.size, layer.scale_factor)
    if kind in SAME:
        options = {name: getattr(layer, name, None) for name in SAME[kind].split()}
        if "bias" in options:
            there = layer.in_proj_bias if kind == "MultiheadAttention" else layer.bias
            options["bias"] = there is not None
        for name in ("weight", "pos_weight"):
            if options.get(name) is not None:
                options[name] = tensor_of(options[name])
        return getattr(nn, kind)(**options)
    return function_layer(kind, layer)


def function_layer(kind: str, layer: Any) -> nn.Module:
    """The FunctionLayer for a layer of PyTorch, of a class with that layer's name."""
    of = WRITTEN_AS_FUNCTIONS[kind]
    options = {name: getattr(layer, name, None) for name in of.options.split() if name != "pad"}
    if "Pad" in kind:
        options["pad"] = tuple(layer.padding)
        if "mode" in options:
            options["mode"] = PADS[kind[:-5]]
    if kind == "Upsample" and layer.mode not in ("nearest", "bilinear"):
        raise ValueError(f'mode={layer.mode!r} is not offered, "nearest" and "bilinear" are')
    named = type(kind, (FunctionLayer,), {"__doc__": f"PyTorch's {kind}.",
                                          "__module__": FunctionLayer.__module__})
    return named(of, {name: tuple(value) if isinstance(value, (list, tuple)) else value
                      for name, value in options.items()})


def activation_of(function: Any, torch: Any) -> Callable | None:
    """The function that is the activation inside a TransformerEncoderLayer; None for another, or a
    layer."""
    return {torch.nn.functional.relu: F.relu, torch.nn.functional.gelu: F.gelu,
            torch.nn.functional.silu: made.silu, torch.relu: F.relu, torch.tanh: F.tanh,
            }.get(function)
