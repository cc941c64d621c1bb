"""What runs in a student's process: call the function, write arrays back, decide nothing.

``process`` runs this file as a program; what is right is computed elsewhere, when this process has
ended. Standard input brings a task as JSON, standard output takes .npy records: for the file and
then for each call a text in bytes (a key of ``judge.SAYS``, a new line, and what to put in there),
or an empty text and the outputs of the call. NumPy is all that this file may import.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

MEMORY, SPACE = 1 << 30, 1 << 24                       # bytes: of the process, of a file
MOST_NUMBERS = 1 << 17                                 # of an output
MINIDL = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
STARTS = ("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.exec", "os.spawn",
          "os.posix_spawn", "os.startfile", "os.kill", "os.killpg")
WRITES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate",
          "os.chmod", "os.chown", "os.utime")


class Unfit(Exception):
    """What is wrong with the file or a call: the kind, and what to say of it."""


def serve_task() -> None:
    """Answer the task of standard input; prints go to standard error, nothing can be read."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    task = json.load(sys.stdin.buffer)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    limit(task["timeout"])
    sys.path[:] = [folder for folder in sys.path if os.path.realpath(folder) !=
                   os.path.dirname(os.path.realpath(__file__))]
    sys.addaudithook(globals().pop("guard"))             # under no name that a solution finds
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        with np.errstate(all="ignore"):
            answer(task, out)
    finally:                                           # no traceback, no thread, no atexit
        os._exit(0)


def limit(seconds: float) -> None:
    """Bound memory, file size and time where the system can (a stricter bound stays); time too,
    for when nobody is waiting any more."""
    seconds = int(seconds) + 2
    with contextlib.suppress(ImportError):             # not on Windows
        import resource
        for name, value in (("AS", MEMORY), ("FSIZE", SPACE), ("CORE", 0), ("CPU", seconds)):
            with contextlib.suppress(AttributeError, ValueError, OSError):
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        signal.alarm(seconds)


def guard(event: str, args: tuple, real: Callable = os.path.realpath, under: str = MINIDL,
          folder: Callable = os.path.isdir) -> None:
    """The audit hook: minidl is neither imported nor read, nothing is written or started. No folder
    is opened: of a file that is then opened by ``dir_fd=`` only a part of the path is told here."""
    if event == "import" and args[0].partition(".")[0] == "minidl":
        raise ImportError("a solution may use NumPy, and nothing of minidl")
    if event == "open" and not isinstance(args[0], int):
        path = real(os.fsdecode(args[0]))
        if path == under or path.startswith(under + os.sep):
            raise ImportError("a solution may use NumPy, and nothing of minidl")
        if folder(path):
            raise PermissionError("a solution may not open folders")
        if args[2] & (os.O_WRONLY | os.O_RDWR) and path != os.devnull:
            raise PermissionError("a solution may not write files")
    if event == "os.scandir":                          # holds its folder open, too
        raise PermissionError("a solution may not open folders")
    if event in WRITES:
        raise PermissionError("a solution may not write files")
    if event in STARTS:
        raise PermissionError("a solution may not start or stop programs")


# --------------------------------------------------------------------------- calls
def answer(task: dict[str, Any], out: BinaryIO) -> None:
    """Write the records for the file and for each call of the task."""
    def send(text: str, *arrays: np.ndarray) -> None:
        letters = np.frombuffer(text.encode(errors="backslashreplace"), np.uint8)
        for array in (letters, *arrays):
            np.lib.format.write_array(out, array, allow_pickle=False)
        out.flush()

    try:
        function = load_solution(task)
    except Unfit as unfit:
        return send("\n".join(unfit.args))
    send("")
    outputs = [np.zeros(0)] * len(task["outputs"])     # of the last call that had some
    for call in task["calls"]:
        try:
            outputs = _call_solution(task, function, [_received(value, outputs) for value in call])
            send("", *outputs)
        except Unfit as unfit:
            send("\n".join(unfit.args))


def load_solution(task: dict[str, Any]) -> Callable:
    """The function of the file; raises Unfit where there is none that can be called as wanted."""
    name, wanted = task["function"], task["parameters"]
    module = sys.modules["solution"] = ModuleType("solution")
    module.__file__ = task["path"]
    try:
        code = compile(task["source"].encode("latin-1"), task["path"], "exec", dont_inherit=True)
        exec(code, module.__dict__)
    except BaseException as error:
        raise Unfit("file", _error_and_line(error, task)) from error
    f = module.__dict__.get(name)
    if not callable(f):
        others = [n for n, v in module.__dict__.items() if inspect.isfunction(v)]
        raise Unfit("missing", f" (but {', '.join(others)})" if others else "")
    have = ["..."]
    try:
        have = list(inspect.signature(f).parameters)
        inspect.signature(f).bind(*wanted)
        fits = have == wanted or sorted(have) != sorted(wanted)     # the names in another order
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise Unfit("signature", f"{name}({', '.join(have)})")
    return f


def _received(value: Any, outputs: list[np.ndarray]) -> Any:
    """An argument: a number, a tuple, an array, or one of the last outputs."""
    if isinstance(value, dict):
        return (outputs[value["output"]].copy() if "output" in value else
                np.array(value["values"], value["dtype"]).reshape(value["shape"]))
    return tuple(value) if isinstance(value, list) else value


def _call_solution(task: dict[str, Any], function: Callable, arguments: list) -> list[np.ndarray]:
    names, before = task["outputs"], copy.deepcopy(arguments)
    try:
        result = function(*arguments)
        for name, old, new in zip(task["parameters"], before, arguments):
            if isinstance(old, np.ndarray) and not np.array_equal(old, new):
                raise Unfit("in place", name)
        if result is None:
            ending = f"return {', '.join(names)}"
            raise Unfit("outputs", f"it returns None: does it end with `{ending}`?")
        several = isinstance(result, (tuple, list))
        if len(names) > 1 and not (several and len(result) == len(names)):
            raise Unfit("outputs", "it returns " + (f"{len(result)} values" if several else
                                                    f"one {type(result).__name__}"))
        return [_output(*pair) for pair in zip(names, result if len(names) > 1 else [result])]
    except Unfit:
        raise
    except BaseException as error:
        raise Unfit("stub" if isinstance(error, NotImplementedError) else "exception",
                    _error_and_line(error, task)) from error


def _output(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:                                 # rows of several lengths
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise Unfit("outputs", f"{name} shall be an array of numbers, got {type(value).__name__} "
                    f"({array.dtype})")
    if array.size > MOST_NUMBERS:
        raise Unfit("outputs", f"{name} has shape {array.shape}, more numbers than are read")
    return np.array(array, np.float64 if array.itemsize > 8 else None)


def _error_and_line(error: BaseException, task: dict[str, Any]) -> str:
    """The last line of the student's file that the error went through, and the error."""
    said, line, trace = error, None, error.__traceback__
    while trace:
        line = trace.tb_lineno if trace.tb_frame.f_code.co_filename == task["path"] else line
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename == task["path"]:
        said, line = error.msg, error.lineno
    text = f"{type(error).__name__}: {said}".rstrip(": .")
    lines = task["source"].encode("latin-1").decode(errors="replace").split("\n")
    return f"line {line}, `{''.join(lines[line - 1:line]).strip()[:99]}`: {text}" if line else text


if __name__ == "__main__":
    serve_task()
