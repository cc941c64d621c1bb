"""Judge a student's file: run its function on every case and compare with the library.

A case is a dict of arguments. What is right is the value and the gradient (by the tape) of
``Exercise.forward``. Where all numbers agree, the library's property test runs as well: finite
differences by ``check_vjp``, or what the exercise names in ``also``. Where a number is wrong, the
student's numbers are compared with those that known mistakes make.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from ..tensor import Tensor
from ..testing import GradientError, KinkError, check_vjp
from .exercise import Case, Exercise, is_float
from .report import Verdict, number

FLOAT32 = ("right up to float32's rounding: an array of yours is float32; give it its argument's "
           "type, as in np.zeros(shape, x.dtype)")


class _Problem(Exception):
    """A reason to stop, in a sentence for the student."""

    def __init__(self, kind: str, message: str, hint: str | None = None):
        super().__init__(message)
        self.kind, self.hint = kind, hint


def judge(exercise: Exercise, path: str | Path) -> Verdict:
    """Run the function in the file `path` on all cases of the exercise, and say what is wrong.

    What the file prints goes to standard error. Raises ValueError where there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"exercise: there is no file {path}; copy the stub and fill it in: "
                         f"{exercise.stub}")
    with contextlib.redirect_stdout(sys.stderr), np.errstate(all="ignore"), \
            warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = list(exercise.cases(np.random.default_rng(0)))
        verdict = Verdict(exercise.name, cases=len(cases),
                          formula=f"{exercise.formula} ({exercise.source})")
        try:
            solve = _load(exercise, path)
        except _Problem as problem:
            verdict.problem, verdict.message = problem.kind, str(problem)
            return verdict
        return _judge(exercise, solve, cases, verdict)


# --------------------------------------------------------------------------- the student's function
def _load(exercise: Exercise, path: Path) -> Callable[[Case], list[np.ndarray]]:
    """case -> outputs, by the function of the file; raises _Problem for whatever is unfit."""
    module, name = ModuleType(path.stem), exercise.function
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raise _Problem("exception", f"The file does not run: {_where(error, path)}") from error
    f = module.__dict__.get(name)
    if not callable(f):
        others = [n for n, v in module.__dict__.items() if inspect.isfunction(v)]
        raise _Problem("missing", f"The file defines no function {name}" + (
            f" (but {', '.join(others)})" if others else "") + f"; wanted is {exercise.signature}")
    wanted, have = exercise.parameters, ["..."]
    try:
        have = list(inspect.signature(f).parameters)
        inspect.signature(f).bind(*wanted)
        fits = have == wanted or sorted(have) != sorted(wanted)     # the names in another order
    except (TypeError, ValueError):
        fits = False
    if not fits:
        raise _Problem("signature", f"{name} is called as {exercise.signature}, in this order; "
                       f"yours is {name}({', '.join(have)})")
    return lambda case: _call(exercise, f, case, path)


def _call(exercise: Exercise, f: Callable, case: Case, path: Path) -> list[np.ndarray]:
    arguments = copy.deepcopy([case[name] for name in exercise.parameters])
    try:
        result = f(*arguments)
    except NotImplementedError as error:
        raise _Problem("stub", "The function is still to be written: "
                       f"{_where(error, path)}") from error
    except (Exception, SystemExit) as error:
        raise _Problem("exception", f"Your function stops: {_where(error, path)}") from error
    for name, after in zip(exercise.parameters, arguments):
        if isinstance(after, np.ndarray) and not (after.shape == case[name].shape and
                                                  np.array_equal(after, case[name])):
            raise _Problem("in place", f"The function changes its argument {name}; its caller "
                           f"still needs it: write {name} = {name} + ..., not {name} += ..., or "
                           f"begin with {name} = {name}.copy()")
    names = exercise.outputs
    if result is None:
        raise _Problem("outputs", f"The function returns None: does it end with `return "
                       f"{', '.join(names)}`?")
    if len(names) > 1 and not (isinstance(result, (tuple, list)) and len(result) == len(names)):
        what = (f"{len(result)} values" if isinstance(result, (tuple, list)) else
                f"one {type(result).__name__}")
        raise _Problem("outputs", f"The function shall return {', '.join(names)}; it returns "
                       f"{what}")
    return [_output(name, value) for name, value in zip(names, result if len(names) > 1
                                                        else [result])]


def _output(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise _Problem("outputs", f"{name} shall be an array of numbers, got "
                       f"{type(value).__name__} ({array.dtype})")
    return array


def _where(error: BaseException, path: Path) -> str:
    """The last line of the student's file that the error went through, and the error."""
    kind = f"{type(error).__name__}: {error}".rstrip(": .")
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}, `{(error.text or '').strip()}`: {type(error).__name__}: " \
               f"{error.msg}"
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return f"line {own[-1].lineno}, `{own[-1].line}`: {kind}" if own else kind


# --------------------------------------------------------------------------- comparing
def _judge(exercise: Exercise, solve: Callable, cases: list, verdict: Verdict) -> Verdict:
    first, differing = None, []
    for title, case in cases:
        expected = exercise.answer(case)
        try:
            got = solve(case)
            for name, e, g in zip(exercise.outputs, expected, got):
                if e.shape != g.shape:
                    raise _Problem("shape", f"{name} must have shape {e.shape}, got {g.shape}",
                                   _shape_hint(e.shape, g.shape))
        except _Problem as problem:
            first = first or (title, case, problem)
            continue
        wrong = [k for k, (e, g) in enumerate(zip(expected, got)) if not _close(e, g).all()]
        if wrong:
            first = first or (title, case, wrong)
            differing.append((case, expected, got))
        else:
            verdict.cases_right += 1
    if first is None:
        first = _properties(exercise, solve, cases)
    if first is None:
        verdict.passed = True
        return verdict
    title, case, found = first
    if getattr(found, "kind", "") != "stub" or verdict.cases_right:
        verdict.case, verdict.inputs = title, {name: case[name] for name in exercise.parameters}
    if isinstance(found, _Problem):
        verdict.problem, verdict.message, verdict.hint = found.kind, str(found), found.hint
        return verdict
    k, verdict.hint = _known_mistake(exercise, found, differing) or (found[0], None)
    _, expected, got = differing[0]
    e, g, name = expected[k], got[k], exercise.outputs[k]
    wrong = np.argwhere(~_close(e, g))
    at = tuple(int(i) for i in wrong[0])
    verdict.problem, verdict.expected, verdict.got = "value", float(e[at]), float(g[at])
    verdict.expected_output, verdict.got_output = e, g
    verdict.cell = name + (f"[{', '.join(map(str, at))}]" if at else "")
    verdict.wrong_cells, verdict.cells = len(wrong), e.size
    verdict.message = (f"{verdict.cell} is {number(g[at])}, should be {number(e[at])}" + (
        f"; {len(wrong)} of the {e.size} numbers of {name} are wrong" if e.size > 1 else ""))
    verdict.hint = verdict.hint or _general_mistake(exercise, k, expected, got)
    return verdict


def _shape_hint(expected: tuple[int, ...], got: tuple[int, ...]) -> str | None:
    if not expected:
        return "it is one number: sum, or take the mean, over all axes"
    if expected == got[::-1]:
        return "this is the transpose"
    if [n for n in expected if n != 1] == [n for n in got if n != 1]:
        return ("only axes of length 1 differ: keepdims=True keeps an axis that is summed, "
                "[:, None] makes a new one")
    return None


def _properties(exercise: Exercise, solve: Callable, cases: list) -> tuple | None:
    """The library's property test of every case; what fails, as `first` of _judge."""
    for title, case in cases:
        try:
            if exercise.wrt:
                _differences(exercise, solve, case)
            if exercise.also:
                exercise.also(lambda **changed: solve({**case, **changed}),
                              SimpleNamespace(**case))
        except KinkError:
            continue                                   # a tie or a kink: no slope to compare with
        except GradientError as error:
            return title, case, _Problem("property", "The numbers of this case are right, but a "
                                         f"check beside them fails: {error}")
        except _Problem as problem:
            return title, case, problem
    return None


def _differences(exercise: Exercise, solve: Callable, case: Case) -> None:
    """The student's gradients against finite differences of the library's forward pass."""
    inputs = [case[name] for name in exercise.wrt]
    changed = lambda xs: {**case, **dict(zip(exercise.wrt, xs))}

    def forward(*xs):
        a = SimpleNamespace(**{name: Tensor(v) if is_float(v) else v
                               for name, v in changed(xs).items()})
        return exercise.forward(a).data

    def vjp(gy, *xs):
        upstream = exercise.upstream
        found = solve({**changed(xs), **({upstream: gy} if upstream else {})})
        slopes = found[-len(inputs):]
        return tuple(slopes) if upstream else tuple(gy * g for g in slopes)
    check_vjp(forward, vjp if len(inputs) > 1 else lambda gy, x: vjp(gy, x)[0], *inputs,
              entries=16, directions=3)


def _close(expected: np.ndarray, got: np.ndarray, tolerance: float = 1e-9) -> np.ndarray:
    size = np.abs(expected[np.isfinite(expected)])
    scale = 1 + (size.max() if size.size else 0)
    return (np.abs(got - expected) <= tolerance * scale) | (got == expected) | (
        np.isnan(got) & np.isnan(expected))


def _known_mistake(exercise: Exercise, outputs: list[int],
                   differing: list) -> tuple[int, str] | None:
    """The first of `outputs` that a slip explains, and its hint: the slip makes the student's
    numbers in all cases where they are wrong, or else in the first. (The first output that is wrong
    need not be where the mistake is: Adam's p is wrong if its m is.)"""
    for first_only in (False, True):
        for k in outputs:
            wrong = [found for found in differing if not _close(found[1][k], found[2][k]).all()]
            for output, text, slip in exercise.slips:
                if output == exercise.outputs[k] and all(
                        _makes(slip, *found, k) for found in wrong[:1 if first_only else None]):
                    return k, text
    return None


def _general_mistake(exercise: Exercise, k: int, expected: list, got: list) -> str | None:
    """What output k looks like beside the answers: another output, another sign, and so on."""
    e, g, name = expected[k], got[k], exercise.outputs[k]
    for j, other in enumerate(expected):
        if j != k and other.shape == g.shape and _close(other, g).all():
            return f"this is {exercise.outputs[j]}: the order is {', '.join(exercise.outputs)}"
    if g.dtype == np.float32 and _close(e, g, 1e-5).all():
        return FLOAT32
    if not np.isfinite(g[~_close(e, g)]).all():
        return ("nan and inf come from an exponential that is too large, a logarithm of 0 or a "
                "division by 0")
    if _close(-e, g).all():
        return "every number has the wrong sign"
    if g.ndim == 2 and e.shape == g.T.shape and _close(e, g.T).all():
        return "this is the transpose"
    if not g.any():
        return f"{name} is 0 everywhere: is anything ever added to it?"
    ratio = g.flat[np.abs(e).argmax()] / np.abs(e).max() * np.sign(e.flat[np.abs(e).argmax()])
    if np.count_nonzero(e) > 1 and _close(e * ratio, g).all():
        share = f" (1 / {number(1 / ratio)})" if abs(ratio) < 1 else ""
        return (f"every number is {number(ratio)}{share} times what it should be: a factor is "
                "missing, or there is one too many")
    return None


def _makes(wrong: Callable, case: Case, expected: list, got: list, k: int) -> bool:
    try:
        made = np.asarray(wrong(SimpleNamespace(**case), expected), np.float64)
    except (ValueError, IndexError, ZeroDivisionError, TypeError):
        return False                                   # this mistake is impossible here
    return made.shape == got[k].shape and bool(_close(made, got[k]).all())
