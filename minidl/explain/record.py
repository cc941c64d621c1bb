"""``minidl.record``: everything that happens in a block, or in one call of a training step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..checks import whole
from ..tensor import Tensor
from .recorder import Recorder
from .undo import Snapshot

__all__ = ["record"]


def record(step: Callable | None = None, *args: Any, probe: int | None = None, **kwargs: Any):
    """Record a block, ``with minidl.record() as trace:``, or one call of a training step,
    ``trace = minidl.record(step, images, labels, probe=2)``.

    The second calls ``step(*args, **kwargs)`` on the first `probe` (2) examples only: of all
    tensors and arrays, also inside tuples, lists and dicts, that are as long as the first. (A
    weight's gradient is a sum over the whole batch, and only a small one can be read.) Then it puts
    back what the step can reach: parameters, gradients, buffers, optimisers, schedulers, random
    states; see ``explain.restore``. Recording implies ``keep()`` and costs time and memory; layers
    run one by one. Raises ValueError (TypeError) for a
    probe that is not a whole number from 1 on, RuntimeError within another recording.
    """
    if step is None:
        if args or kwargs or probe is not None:
            raise TypeError("record: give a step function first, or nothing: "
                            "with minidl.record() as trace:")
        return Recorder()
    if not callable(step):
        raise TypeError(f"record: step must be a function, got {type(step).__name__}")
    probe = 2 if probe is None else whole("record: probe", probe, 1)
    recorder = Recorder()
    recorder.refuse_to_nest()
    batch = next((len(a) for a in _arrays((args, kwargs))), None)
    few_args, few_kwargs = _examples(args, batch, probe), _examples(kwargs, batch, probe)
    snapshot = Snapshot(step, few_args, few_kwargs)
    try:
        with recorder as trace:
            trace.meta["probe"] = probe if batch is None else min(probe, batch)
            step(*few_args, **few_kwargs)
    finally:
        snapshot.restore()
    return trace


def _arrays(value: Any) -> Iterator[Any]:
    if isinstance(value, (Tensor, np.ndarray)):
        if value.ndim:
            yield value
    elif isinstance(value, (tuple, list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _arrays(inner)


def _examples(value: Any, batch: int | None, probe: int) -> Any:
    """The first `probe` examples of everything in `value` that has `batch` of them."""
    if isinstance(value, (Tensor, np.ndarray)):
        return value[:probe] if value.ndim and len(value) == batch else value
    if isinstance(value, dict):
        return {k: _examples(v, batch, probe) for k, v in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_examples(v, batch, probe) for v in value)
    return value
