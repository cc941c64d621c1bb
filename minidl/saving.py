"""``minidl.save`` and ``minidl.load``: tensors by name, in a safetensors file.

The file is PyTorch's too: ``safetensors.torch.load_file`` reads what is saved here, and
:func:`load` what is saved there. Nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .device import is_array, to_host
from .dtypes import float32, numbers
from .files import check_regular
from .tensor import Tensor


def problem() -> str | None:
    """Why no files can be written here, and what to install; None if they can."""
    if importlib.util.find_spec("safetensors"):
        return None
    return "they need safetensors: python -m pip install safetensors"


def save(state_dict: Mapping[str, Tensor], path: str | Path) -> None:
    """Write tensors (or arrays) by name: ``minidl.save(model.state_dict(), "cnn.safetensors")``.

    Raises TypeError for anything but a mapping of names to tensors, ImportError without
    safetensors, OSError where nothing can be written.
    """
    if not isinstance(state_dict, Mapping) or not all(
            isinstance(value, Tensor) or is_array(value) for value in state_dict.values()):
        raise TypeError("save: expected tensors by name, as model.state_dict() gives them, got "
                        f"{type(state_dict).__name__}")
    arrays = {name: to_host(value.data if isinstance(value, Tensor) else value)
              for name, value in state_dict.items()}
    write_arrays(path, arrays, {})


def load(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: ``model.load_state_dict(minidl.load("cnn.safetensors"))``.
    What is float16 in the file becomes float32, the same numbers.

    Raises FileNotFoundError, and ValueError for a file that is truncated, damaged or another kind;
    TypeError for other numbers than a tensor can have.
    """
    arrays, _ = read_arrays(path)
    return {name: Tensor._wrap(numbers(f"load: {name} of {path}", array, float32 if array.dtype
                                       == np.float16 else None)) for name, array in arrays.items()}


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray], header: dict[str, str]) -> None:
    """Arrays and a header of strings, as one file. safetensors writes the memory as it lies, so a
    transposed or channels-last view is first copied into C order."""
    if missing := problem():
        raise ImportError(f"save: {missing}")
    from safetensors.numpy import save as to_bytes

    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    write_atomically(path, to_bytes(plain, header or None))


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """What :func:`write_arrays` wrote: the arrays, and the header."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"load: there is no file {path}")
    check_regular(path)                    # to open a named pipe is to wait for its writer
    if missing := problem():
        raise ImportError(f"load: {missing}")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"load: {path} is truncated, damaged or no safetensors file ({error})"
                         ) from error


def write_atomically(path: str | Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash leaves the old file or the new one, never half."""
    import tempfile  # here: `import minidl` does not need it

    path = Path(path)
    handle, temporary = tempfile.mkstemp(prefix=path.name, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    with contextlib.suppress(OSError):        # the rename itself; Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
