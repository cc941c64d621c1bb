"""How a module is shown: its repr, the table of its layers, how much it multiplies."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...tensor import Tensor
from ..parameter import CHILD, PARAMETER


class ShownModule:
    """The part of :class:`minidl.nn.Module` that shows the module."""

    _kinds: dict[str, str]
    named_modules: Callable[..., Iterator]

    def summary(self, input_shape):
        """The table of layers for one example of `input_shape`: see ``nn.more.summary``."""
        from .summary import summary
        return summary(self, input_shape)

    def multiply_adds(self, input: Tensor, output: Tensor) -> int:
        """How many multiplications a forward pass makes in the layer's own products of numbers
        with weights (not its children's); a layer that has such products says how many."""
        return 0

    def extra_repr(self) -> str:
        """What stands between the brackets of the repr: the attributes that are plain values, and
        the parameters that were left out."""
        plain = [(name, value) for name, value in vars(self).items()
                 if isinstance(value, (int, float, str, tuple)) and name[0] != "_"]
        absent = [(name, None) for name, kind in self._kinds.items()
                  if kind == PARAMETER and self.__dict__[name] is None]
        return ", ".join(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value!r}"
                         for name, value in plain + absent if name != "training")

    def __repr__(self):
        lines, open_, told = [], [], None             # depths with a bracket to close; a child that
        for path, module in self.named_modules(remove_duplicate=False):    # has told its own way
            if told is not None and path.startswith(told):
                continue
            depth = path.count(".") + bool(path)
            while open_ and open_[-1] >= depth:
                lines.append("  " * open_.pop() + ")")
            ours = not depth or type(module).__repr__ is ShownModule.__repr__
            text = f"{type(module).__name__}({module.extra_repr()}" if ours else repr(module)
            if not ours:
                told = f"{path}."
            elif any(True for _ in module._own(CHILD)):
                open_.append(depth)
            else:
                text += ")"
            name = f"({path.rpartition('.')[2]}): " if path else ""
            lines.append("  " * depth + (name + text).replace("\n", "\n" + "  " * depth))
        return "\n".join([*lines, *("  " * depth + ")" for depth in reversed(open_))])


class CountedLayer:
    """The part of dense and convolution layers that says how much they multiply."""

    weight: Tensor
    transposed = False

    def multiply_adds(self, input: Tensor, output: Tensor) -> int:
        """How many multiplications with the weight one forward pass makes."""
        # The whole weight is used once for each pixel: of the output, or, transposed, of the input.
        # The rows of a dense layer are its pixels.
        pixels = input if self.transposed else output
        return pixels.numel() // self.weight.shape[0] * self.weight.numel()
