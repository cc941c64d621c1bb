"""Checkpoints: one safetensors file, the arrays as tensors, all the rest as JSON in its header.

The state of a run is a tree of dicts and lists. Its tensors become the file's tensors, named by
their path (`model.conv1.weight`), and leave ``{"array": name}`` in the JSON. Nothing is pickled.
The file is written beside its place, synced to the disk and renamed, so at any moment the name
stands for a whole checkpoint: the old one or the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..device import to_host
from ..files import saving
from ..tensor import Tensor

__all__ = ["read_state", "write_problem", "write_state"]

CHECKPOINT_FORMAT = "minidl-checkpoint-2"


def write_problem() -> str | None:
    """Why checkpoints cannot be written here, and what to install; None if they can."""
    missing = saving.safetensors_problem()
    return missing and f"no checkpoints, {missing}"


def write_state(path: str | Path, state: dict[str, Any]) -> None:
    """Write `state`, a tree of dicts, lists, tensors, arrays, numbers and strings, to `path`.

    Raises ImportError without safetensors, OSError where nothing can be written, and TypeError for
    anything else in the tree.
    """
    arrays: dict[str, np.ndarray] = {}
    rest = _take_arrays(state, "", arrays)
    saving.write_arrays(path, arrays, {"format": CHECKPOINT_FORMAT, "state": rest})


def read_state(path: str | Path) -> dict[str, Any]:
    """The tree that :func:`write_state` wrote, its tensors as NumPy arrays.

    Raises FileNotFoundError, and ValueError for a file that is truncated, damaged or foreign.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint: there is no file {path}: the run was not begun yet, "
                                "or made without safetensors (python -m pip install safetensors), "
                                "or the file was deleted: train again, in another folder if this "
                                "one holds the log of a whole run")
    arrays, header = saving.read_arrays(path)
    found = header.get("format")
    if found != CHECKPOINT_FORMAT and str(found).startswith("minidl-checkpoint-"):
        raise ValueError(f"checkpoint: {path} is of the format {found}, this minidl reads "
                         f"{CHECKPOINT_FORMAT}: go on with the minidl that wrote it, or train "
                         "again in another folder")
    if found != CHECKPOINT_FORMAT:
        raise ValueError(f"checkpoint: {path} is a safetensors file, but no checkpoint of minidl: "
                         f'its header does not say "format": "{CHECKPOINT_FORMAT}"')
    try:
        return _put_arrays(header["state"], arrays)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"checkpoint: the header of {path} is damaged ({error!r})") from error


def _take_arrays(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON; what is an array goes into `arrays` under its path."""
    if isinstance(value, Tensor):
        value = to_host(value.data)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, dict):
        return {str(key): _take_arrays(child, f"{name}.{key}" if name else str(key), arrays)
                for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return [_take_arrays(child, f"{name}.{i}", arrays) for i, child in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"checkpoint: {name} is a {type(value).__name__}, which cannot be saved")


def _put_arrays(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The reverse. JSON has only strings for keys: digits were integers (optimiser states)."""
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return arrays[value["array"]]
        return {int(key) if key.isdecimal() else key: _put_arrays(child, arrays)
                for key, child in value.items()}
    if isinstance(value, list):
        return [_put_arrays(child, arrays) for child in value]
    return value
