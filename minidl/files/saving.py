"""``minidl.save`` and ``minidl.load``: tensors by name, in a safetensors file.

The file is PyTorch's too: ``safetensors.torch.load_file`` reads what is saved here, and
:func:`load` what is saved there. Nothing is ever pickled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.arrays import numbers, unmasked
from ..device import is_array, to_host
from ..dtypes import float32
from ..tensor import Tensor
from .regular import open_regular

TEMPORARY = ".tmp"
"""How the name of a file ends while it is written; a kill may leave one behind."""


def safetensors_problem() -> str | None:
    """Why no files can be written here, and what to install; None if they can."""
    if importlib.util.find_spec("safetensors"):
        return None
    return "they need safetensors: python -m pip install safetensors"


def save(state_dict: Mapping[str, Tensor], path: str | Path) -> None:
    """Write tensors (or arrays) by name: ``minidl.save(model.state_dict(), "cnn.safetensors")``.

    Raises TypeError for anything but a mapping of names to tensors, ImportError without
    safetensors, OSError where nothing can be written.
    """
    expected = "save: expected tensors by name, as model.state_dict() gives them, got "
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{expected}{type(state_dict).__name__}")
    for name, value in state_dict.items():
        if not isinstance(name, str) or not (isinstance(value, Tensor) or is_array(value)):
            raise TypeError(f"{expected}a {type(value).__name__} under {name!r}")
    arrays = {name: to_host(value.data if isinstance(value, Tensor) else unmasked("save", value))
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


def write_arrays(path: str | Path, arrays: dict[str, np.ndarray], header: dict[str, Any]) -> None:
    """Arrays and a header of JSON, as one file, which says what minidl wrote it and has a checksum.
    The same contents make the same bytes.

    safetensors writes the memory as it lies, so a transposed or channels-last view is first copied
    into C order; and it writes entries of its metadata in random order, so there is one.
    """
    if missing := safetensors_problem():
        raise ImportError(f"save: {missing}")
    from safetensors.numpy import save as to_bytes

    from .. import __version__

    for name, array in arrays.items():
        if name == "__metadata__" or array.dtype.kind not in "biufc" or array.dtype.itemsize > 8:
            raise TypeError(f"save: {name!r} of dtype {array.dtype} cannot stand in a safetensors "
                            "file")
    plain = {name: np.asarray(array, array.dtype.newbyteorder("="), order="C")
             for name, array in arrays.items()}
    header = {**header, "version": __version__}
    text = json.dumps({**header, "checksum": checksum(plain, header)})
    write_atomically(path, to_bytes(plain, {"minidl": text}))


def read_arrays(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What :func:`write_arrays` wrote: the arrays, and the header, empty in a file of others.

    Raises ValueError for a file that is truncated, damaged or has not the contents it was written
    with.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"load: there is no file {path}")
    with open_regular(path) as file:
        if missing := safetensors_problem():
            raise ImportError(f"load: {missing}")
        from safetensors import SafetensorError, safe_open
        from safetensors.numpy import load as from_bytes

        try:
            with safe_open(path, "numpy"):     # its header fits its size: only then all is read
                content = file.read()
            arrays = from_bytes(content)
            size = int.from_bytes(content[:8], "little")
            metadata = json.loads(content[8:8 + size]).get("__metadata__") or {}
            if "minidl" not in metadata:
                return arrays, metadata
            header = json.loads(metadata["minidl"])
            if not isinstance(header, dict):
                raise ValueError(f"its header of minidl is a {type(header).__name__}")
            right = header.pop("checksum", None) == checksum(arrays, header)
        except KeyError as error:
            raise ValueError(f"load: {path} holds numbers of type {error.args[0]}, which NumPy "
                             "does not have") from error
        except (SafetensorError, ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"load: {path} is truncated, damaged or no safetensors file ({error})"
                             ) from error
    if not right:
        raise ValueError(f"load: {path} is damaged: its contents do not have the checksum that was "
                         "written with them")
    return arrays, header


def checksum(arrays: dict[str, np.ndarray], header: Any = None) -> str:
    """The SHA-256 of arrays, their names, types and shapes, and of a header of JSON."""
    import hashlib  # here: `import minidl` does not need it

    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        total.update(json.dumps([name, array.dtype.str, array.shape]).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def write_atomically(path: str | Path, content: bytes) -> None:
    """Put `content` at `path` so that a crash leaves the old file or the new one, never half.

    The file has the permissions that the umask gives any new file. Raises OSError that names the
    path, also for one that is no ordinary file (a folder, /dev/null): a rename would replace it.
    """
    path = Path(os.path.realpath(path))       # of a link the file, not the link, is replaced
    temporary = path.with_name(f"{path.name}.{os.urandom(4).hex()}{TEMPORARY}")
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is no ordinary file")
        try:
            with open(temporary, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise type(error)(f"cannot write {path} ({error.strerror or error})") from error
    with contextlib.suppress(OSError):        # the rename itself; Windows opens no folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
