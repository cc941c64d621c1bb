"""Judge a student's file: its function answers all cases, then they are compared with the library.

A case is a dict of arguments. What is right is the value and the gradient (by the tape) of
``Exercise.forward``, computed when the process that ran the file has ended (``process``). Where all
numbers agree, the library's property test decides: finite differences by ``check_vjp`` under
another upstream gradient, or what the exercise names in ``also``. Where a number is wrong, the
student's numbers are compared with those that known mistakes make.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..checks import number as checked
from ..files.regular import read_regular, shown
from ..tensor import Tensor
from ..testing import GradientError, KinkError, check_vjp
from . import process
from .exercise import Case, Exercise, is_float
from .shared import drawn, isclose
from .verdict import Verdict, number_text

FLOAT32 = ("right up to float32's rounding: an array of yours is float32; give it its argument's "
           "type, as in np.zeros(shape, x.dtype)")
# What the process can say of a file or a call: how a verdict calls and begins it.
SAYS = {"file": ("exception", "The file does not run: {}"),
        "missing": ("missing", "The file defines no function {function}{}; wanted is {signature}"),
        "signature": ("signature", "{function} is called as {signature}, in this order; yours is "
                      "{}"),
        "stub": ("stub", "The function is still to be written: {}"),
        "exception": ("exception", "Your function stops: {}"),
        "in place": ("in place", "The function changes its argument {0}; its caller still needs "
                     "it: write {0} = {0} + ..., not {0} += ..., or begin with {0} = {0}.copy()"),
        "outputs": ("outputs", "The function shall return {outputs}; {}")}
TOO_SOON = ("ended", "The program ends before the function has answered")


class _Problem(Exception):
    """A reason to stop, in a sentence for the student."""

    def __init__(self, kind: str, message: str, hint: str | None = None):
        super().__init__(message)
        self.kind, self.hint = kind, hint


def judge(exercise: Exercise, path: str | Path, timeout: float = 10,
          seed: int | None = None) -> Verdict:
    """Run the function in the file `path` on all cases of the exercise, and say what is wrong.

    The file runs in a process of its own, which is killed after `timeout` seconds; what it prints
    goes to standard error. The random cases are drawn from `seed`, a new one by default, which
    stands in the verdict. Raises ValueError where there is no such file, for one that is no
    regular file or has more than a million bytes, and for a `timeout` that is not above 0 and at
    most a day; TypeError for one that is no number.
    """
    path = Path(path)
    try:
        source = read_regular(path, 1_000_000)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"exercise: there is no file {path}; copy the stub and fill it in: "
                         f"{exercise.stub}") from None
    except ValueError as error:
        raise ValueError(f"exercise: {error}") from None
    if not 0 < (timeout := checked("exercise: timeout", timeout)) <= 86_400:
        raise ValueError("exercise: timeout must be a number of seconds above 0 and at most "
                         f"86,400, got {timeout!r}")
    seed = secrets.randbits(32) if seed is None else seed
    rng = np.random.default_rng(seed)
    cases = list(exercise.cases(rng))
    checks = [(i, changes, check) for i, (_, case) in enumerate(cases)
              for changes, check in _property_checks(exercise, case, rng)]
    calls = [case for _, case in cases] + [{**cases[i][1], **new} for i, new, _ in checks]
    task = {"path": str(path), "source": source.decode("latin-1"),
            "function": exercise.function, "parameters": exercise.parameters,
            "outputs": exercise.outputs,
            "calls": [[_sent(case[name]) for name in exercise.parameters] for case in calls]}
    verdict = Verdict(exercise.name, cases=len(cases), seed=seed,
                      formula=f"{exercise.formula} ({exercise.source})")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        most = 1 + len(calls) * (1 + len(exercise.outputs))
        answers = _Answers(exercise, *process.run_solution(task, timeout, most))
        return _judge(exercise, answers, cases, checks, verdict)


def _sent(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return {"values": value.ravel().tolist(), "shape": value.shape, "dtype": value.dtype.str}


# --------------------------------------------------------------------------- comparing
class _Answers:
    """What the student's process wrote, read call by call, and why it ended if it was not done."""

    def __init__(self, exercise: Exercise, arrays: list[np.ndarray],
                 problem: tuple[str, str] | None):
        self.exercise, self.arrays, self.problem = exercise, iter(arrays), problem

    def text(self) -> None:
        """Raise what the process says of the file or a call, if it says anything."""
        kind, _, said = self._next().tobytes()[:2000].decode(errors="replace").partition("\n")
        if kind:
            word, sentence = SAYS.get(kind, TOO_SOON)
            raise _Problem(word, sentence.format(
                shown(said), function=self.exercise.function,
                signature=self.exercise.signature, outputs=", ".join(self.exercise.outputs)))

    def outputs(self, expected: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs of a call, which have the shapes of those expected; else raises _Problem."""
        self.text()
        found = [self._next() for _ in expected]
        for name, e, g in zip(self.exercise.outputs, expected, found):
            if e.shape != g.shape:
                raise _Problem("shape", f"{name} must have shape {e.shape}, got {g.shape}",
                               _shape_hint(e.shape, g.shape))
        return found

    def _next(self) -> np.ndarray:
        for array in self.arrays:
            return array
        raise _Problem(*(self.problem or TOO_SOON))


def _judge(exercise: Exercise, answers: _Answers, cases: list, checks: list,
           verdict: Verdict) -> Verdict:
    try:
        answers.text()                                 # of the file
    except _Problem as problem:
        verdict.problem, verdict.message = problem.kind, str(problem)
        return verdict
    first, differing, right = None, [], []
    for title, case in cases:
        right.append(exercise.answer(case))
        try:
            got = answers.outputs(right[-1])
        except _Problem as problem:
            first = first or (title, case, problem)
            continue
        wrong = [k for k, (e, g) in enumerate(zip(right[-1], got)) if not isclose(e, g).all()]
        if wrong:
            first = first or (title, case, wrong)
            differing.append((case, right[-1], got))
        else:
            verdict.cases_right += 1
    first = first or _failed_property(answers, cases, checks, right)
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
    wrong = np.argwhere(~isclose(e, g))
    at = tuple(int(i) for i in wrong[0])
    verdict.problem, verdict.expected, verdict.got = "value", float(e[at]), float(g[at])
    verdict.expected_output, verdict.got_output = e, g
    verdict.cell = name + (f"[{', '.join(map(str, at))}]" if at else "")
    verdict.wrong_cells, verdict.cells = len(wrong), e.size
    verdict.message = (f"{verdict.cell} is {number_text(g[at])}, should be {number_text(e[at])}" + (
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


def _property_checks(exercise: Exercise, case: Case, rng: np.random.Generator) -> Iterator:
    """The library's property tests of a case: (arguments to call once more with, a function of the
    outputs that raises GradientError)."""
    if exercise.wrt:
        yield _differences(exercise, case, rng)
    if exercise.also:
        yield from exercise.also(SimpleNamespace(**case))


def _failed_property(answers: _Answers, cases: list, checks: list, right: list) -> tuple | None:
    """What fails of the checks, as `first` of _judge."""
    for i, _, check in checks:
        title, case = cases[i]
        try:
            check(answers.outputs(right[i]))
        except KinkError:
            continue                                   # a tie or a kink: no slope to compare with
        except GradientError as error:
            return title, case, _Problem("property", "The numbers of this case are right, but a "
                                         f"check beside them fails: {error}")
        except _Problem as problem:
            return title, case, problem
    return (*cases[-1], _Problem(*answers.problem)) if answers.problem else None


def _differences(exercise: Exercise, case: Case, rng: np.random.Generator) -> tuple:
    """The student's gradients against finite differences of the library's forward pass."""
    wrt, upstream = exercise.wrt, exercise.upstream
    changes = {upstream: drawn(rng, *case[upstream].shape)} if upstream else {}

    def forward(*xs):
        a = SimpleNamespace(**{name: Tensor(v) if is_float(v) else v
                               for name, v in {**case, **dict(zip(wrt, xs))}.items()})
        return (exercise.forward(a).data * changes.get(upstream, 1.0)).sum()

    def check(outputs):
        slopes = outputs[-len(wrt):]
        check_vjp(forward, lambda gy, *xs: gy * slopes[0] if len(wrt) == 1 else tuple(
            gy * g for g in slopes), *(case[name] for name in wrt), entries=16, directions=3)
    return changes, check


def _known_mistake(exercise: Exercise, outputs: list[int],
                   differing: list) -> tuple[int, str] | None:
    """The first of `outputs` that a slip explains, and its hint: the slip makes the student's
    numbers in all cases where they are wrong, or else in the first. (The first output that is wrong
    need not be where the mistake is: Adam's p is wrong if its m is.)"""
    for first_only in (False, True):
        for k in outputs:
            wrong = [found for found in differing if not isclose(found[1][k], found[2][k]).all()]
            for output, text, slip in exercise.slips:
                if output == exercise.outputs[k] and all(
                        _makes(slip, *found, k) for found in wrong[:1 if first_only else None]):
                    return k, text
    return None


def _general_mistake(exercise: Exercise, k: int, expected: list, got: list) -> str | None:
    """What output k looks like beside the answers: another output, another sign, and so on."""
    e, g, name = expected[k], got[k], exercise.outputs[k]
    for j, other in enumerate(expected):
        if j != k and other.shape == g.shape and isclose(other, g).all():
            return f"this is {exercise.outputs[j]}: the order is {', '.join(exercise.outputs)}"
    if g.dtype == np.float32 and isclose(e, g, 1e-5).all():
        return FLOAT32
    if not np.isfinite(g[~isclose(e, g)]).all():
        return ("nan and inf come from an exponential that is too large, a logarithm of 0 or a "
                "division by 0")
    if isclose(-e, g).all():
        return "every number has the wrong sign"
    if g.ndim == 2 and e.shape == g.T.shape and isclose(e, g.T).all():
        return "this is the transpose"
    if not g.any():
        return f"{name} is 0 everywhere: is anything ever added to it?"
    ratio = g.flat[np.abs(e).argmax()] / np.abs(e).max() * np.sign(e.flat[np.abs(e).argmax()])
    if np.count_nonzero(e) > 1 and isclose(e * ratio, g).all():
        share = f" (1 / {number_text(1 / ratio)})" if abs(ratio) < 1 else ""
        return (f"every number is {number_text(ratio)}{share} times what it should be: a factor is "
                "missing, or there is one too many")
    return None


def _makes(wrong: Callable, case: Case, expected: list, got: list, k: int) -> bool:
    try:
        made = np.asarray(wrong(SimpleNamespace(**case), expected), np.float64)
    except (ValueError, IndexError, ZeroDivisionError, TypeError):
        return False                                   # this mistake is impossible here
    return made.shape == got[k].shape and bool(isclose(made, got[k]).all())
