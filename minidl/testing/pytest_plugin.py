"""What ``python -m pytest --gradient-pictures DIR`` writes for a test that ends in GradientError.

    DIR/<test>.png     the gradient by backward beside the finite differences, wrong cells red
    DIR/<test>.json    a trace of the function, forward and backward, for ``minidl step``

Both are of the inputs that the error carries. Under Hypothesis that is the smallest failing
example: it runs the test a last time with it, and pytest sees the error of that run alone. The
option itself is in ``pytest_minidl.py``, which pytest loads in every run.
"""

from __future__ import annotations

import re
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ..tensor import Tensor
from .gradcheck import CheckedFunction, GradientError, check_gradients, gradients_of, run_on_leaves

MOST, SIDE = 1024, 32          # cells whose differences are taken; sides of a larger array's part


class Pictures:
    """The plugin: writes pictures and traces into `folder`, and says where they are."""

    def __init__(self, folder: str | Path):
        self.folder, self.tests = Path(folder), {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo):
        report = yield
        found = list(_errors(call.excinfo.value)) if report.failed and call.excinfo else []
        if found:
            # Hypothesis may have found several: the one with the smallest inputs is drawn.
            error = min(found, key=lambda e: sum(x.size for x in e.check.inputs))
            text = "\n".join(self.write(error, self.name(item), item.nodeid))
            report.sections.append(("gradient pictures", text))
        return report

    def name(self, item: pytest.Item) -> str:
        """The test's name as a file name, with a number where another file has that test too."""
        name = re.sub(r"[^\w.=+-]+", "_", item.name).strip("_.")[:150]
        number = self.tests.setdefault(name, {}).setdefault(item.nodeid, len(self.tests[name]) + 1)
        return name if number == 1 else f"{name}-{number}"

    def write(self, error: GradientError, name: str, test: str) -> Iterator[str]:
        """Write both files; a line for each says where it is, or why it is missing."""
        for ending, save in (("png", save_picture), ("json", save_trace)):
            path = self.folder / f"{name}.{ending}"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)             # of a former run: no longer true
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")      # the project may have made them errors
                    yield save(error, path, test)
            except Exception as trouble:                 # the failure itself must still be reported
                yield f"no {path}: {type(trouble).__name__}: {trouble}"


def _errors(error: BaseException) -> Iterator[GradientError]:
    """The gradient errors with a comparison, in an exception or in a group of them."""
    if isinstance(error, GradientError) and error.check is not None:
        yield error
    for one in getattr(error, "exceptions", ()):
        yield from _errors(one)


# --------------------------------------------------------------------------- the picture
def save_picture(error: GradientError, path: Path, test: str) -> str:
    """Both gradients of the failing input side by side; of a large one the part around the failure.
    """
    from ..explain.pictures import wrong_cells
    check, (k, direction) = error.check, error.direction
    shape, given = direction.shape, check.gradients[k]
    analytic = np.zeros(shape) if given is None else np.asarray(given, np.float64)
    cells, said = np.arange(analytic.size).reshape(shape), f"input {k}"
    if cells.size > MOST:
        part = _part_around(_wrong_cell(check, k, analytic, direction), shape)
        cells, said = cells[part], f"{said}[{', '.join(map(_text, part))}]"
    units = (np.arange(analytic.size).reshape(shape) == i for i in cells.flat)
    found = [_difference(check, k, unit * 1.0, analytic) for unit in units]
    numeric, wrong = (np.reshape(column, cells.shape) for column in zip(*found))
    kinks = ["nan: a kink or a jump, no slope there"] if np.isnan(numeric).any() else []
    lines = [*textwrap.wrap(test.rpartition("::")[2], 75), *kinks, f"gradient of {said}"]
    figure = wrong_cells(analytic.reshape(-1)[cells], numeric, np.argwhere(wrong), "\n".join(lines))
    for axes, who in zip(figure.axes, ("by backward", "by finite differences")):
        axes.set_title(who, loc="left", weight="bold")
    figure.savefig(path)
    return f"{path}   {said}: {wrong.sum()} of {wrong.size} cells differ"


def _difference(check: CheckedFunction, k: int, d: np.ndarray,
                analytic: np.ndarray) -> tuple[float, bool]:
    """(the slope along d, is the gradient wrong there?); nan where f has no slope."""
    along = float((analytic * d).sum())
    try:
        found, tolerance = check.measure(k, d, along)
    except GradientError:
        return np.nan, True
    return found.value, not abs(found.value - along) <= tolerance


def _wrong_cell(check: CheckedFunction, k: int, analytic: np.ndarray,
                direction: np.ndarray) -> tuple[int, ...]:
    """A wrong cell of a large array: the direction that failed is halved again and again, and the
    half with the larger error kept."""
    places = np.arange(direction.size).reshape(direction.shape)

    def error(half: np.ndarray) -> float:
        d = direction * ((places >= half[0]) & (places <= half[-1]))
        return np.nan_to_num(abs(_difference(check, k, d, analytic)[0] - (analytic * d).sum()),
                             nan=np.inf)

    half = places.ravel()
    while len(half) > 1:
        half = max(np.array_split(half, 2), key=error)
    return tuple(map(int, np.unravel_index(half[0], direction.shape)))


def _part_around(index: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int | slice, ...]:
    """The part of the last two axes around a cell."""
    starts = [max(0, min(i - SIDE // 2, n - SIDE)) for i, n in zip(index[-2:], shape[-2:])]
    return (*index[:-2], *(slice(a, min(a + SIDE, n)) for a, n in zip(starts, shape[-2:])))


def _text(part: int | slice) -> str:
    return f"{part.start}:{part.stop}" if isinstance(part, slice) else str(part)


# --------------------------------------------------------------------------- the trace
def save_trace(error: GradientError, path: Path, test: str) -> str:
    """The function under a recorder, with the inputs and the upstream gradient of the check."""
    from ..explain.record import record
    check = error.check
    if check.tensors is None:
        return (f"no {path}: there is a trace of check_gradients alone, and of its first order "
                "(plain arrays have no tape, and a trace holds one backward pass)")
    with record() as trace:
        trace.meta["test"] = test
        f = _on_its_line(check.tensors, error, len(check.inputs))
        leaves, outputs = run_on_leaves(f, check.inputs)
        gradients_of(outputs, [x for x in leaves if x.requires_grad],
                     map(Tensor, check.upstream), False)
    wrong = sum(c["status"] == "fail" for c in trace.check(entries=MOST))
    trace.save(path)
    return f"{path}   a trace, {wrong} of its {len(trace.checks)} checks fail: minidl step {path}"


def _on_its_line(f: Callable, error: GradientError, count: int) -> Callable:
    """f, called from the line of the test that called check_gradients: a trace names the innermost
    line that is not the engine's, and where f is an op, that would be one of pytest's."""
    path, line = __file__, 1
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_code is check_gradients.__code__:
            break
        path, line = frame.f_code.co_filename, number
    names = list(f.op.signature.parameters) if hasattr(f, "op") else []
    names = ", ".join([*names, *(f"x{k}" for k in range(len(names), count))][:count])
    return eval(compile("\n" * (line - 1) + f"lambda {names}: _checked({names})", path, "eval"),
                {"_checked": f})
