"""What a module saves so that its numbers can be used again, and how the module takes them back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..checks.arrays import numbers
from ..device import move
from ..modes import no_grad
from ..tensor import Tensor
from .parameter import BUFFER, PARAMETER


class LoadResult(NamedTuple):
    """What ``load_state_dict`` did not match; both empty unless ``strict=False``."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class ModuleState:
    """The part of :class:`minidl.nn.Module` that saves and loads."""

    named_modules: Callable[..., Iterator]

    def _saved(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """What a state dict holds, in PyTorch's order; a shared tensor under each of its names."""
        for path, module in self.named_modules(None, prefix, remove_duplicate=False):
            dot = f"{path}." if path else ""
            for kind in (PARAMETER, BUFFER):
                for name, tensor in module._own(kind):
                    yield dot + name, tensor

    def state_dict(self, prefix: str = "") -> dict[str, Tensor]:
        """Name -> tensor, of parameters and persistent buffers; the tensors share memory."""
        return {prefix + name: tensor.detach() for name, tensor in self._saved()}

    def load_state_dict(self, state_dict, strict: bool = True) -> LoadResult:
        """Copy numbers (tensors or NumPy arrays) in by name; they take this module's dtype.

        Raises ValueError listing every missing, unexpected and misshapen entry, and then nothing
        has been changed. ``strict=False`` lets missing and unexpected entries pass, and returns
        them.
        """
        if not hasattr(state_dict, "keys"):
            raise TypeError("load_state_dict: expected a dict of tensors by name, as state_dict() "
                            f"returns it; got {type(state_dict).__name__}")
        own = dict(self._saved())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        arrays, wrong = {}, []
        for name, tensor in own.items():
            if name in state_dict:
                value = state_dict[name]
                try:
                    arrays[name] = numbers(
                        name, value.data if isinstance(value, Tensor) else value, tensor.dtype)
                except (TypeError, ValueError) as error:
                    wrong.append(str(error))
                    continue
                if arrays[name].shape != tensor.shape:
                    wrong.append(f"{name}: {arrays[name].shape} given, {tensor.shape} needed")
        faults = [f"{what}: {', '.join(names)}" for what, names in
                  (("missing", missing), ("unexpected", unexpected)) if names and strict]
        if faults or wrong:
            raise ValueError(f"load_state_dict: {type(self).__name__} does not fit\n  "
                             + "\n  ".join([*faults, *wrong]))
        with no_grad():
            for name, array in arrays.items():
                own[name].copy_(move(array, own[name].device))
        return LoadResult(missing, unexpected)
