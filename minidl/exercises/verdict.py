"""What a judgement says: to a student as text, to a grader as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass
class Verdict:
    """A judgement. The fields from `problem` on are None where they have nothing to say.

    `problem` is a word for a grader: "value" (a number is wrong; then `cell` to `got_output` tell
    which), "shape", "outputs", "in place", "exception", "stub", "missing", "signature", "time" (it
    takes too long), "ended" (the program ends before it answers), or "property" (all numbers agree,
    but a check by finite differences or the like fails). `seed` draws the same random cases again.
    """

    name: str
    passed: bool = False
    cases: int = 0
    cases_right: int = 0
    problem: str | None = None
    message: str | None = None
    hint: str | None = None
    case: str | None = None
    inputs: dict[str, Any] | None = None
    cell: str | None = None
    expected: float | None = None
    got: float | None = None
    wrong_cells: int | None = None
    cells: int | None = None
    expected_output: np.ndarray | None = None
    got_output: np.ndarray | None = None
    formula: str | None = None
    seed: int | None = None

    def json(self) -> str:
        """One JSON object: arrays as nested lists, nan and inf as strings."""
        return json.dumps(_json_value(asdict(self)))

    def text(self) -> str:
        """Some lines to read: the case, the cell, and why it may be wrong."""
        if self.passed:
            return f"{self.name}: right, all {self.cases} cases"
        lines = [f"{self.name}: not right yet" + (
            f" ({self.cases_right} of {self.cases} cases are; --seed {self.seed} draws them again)"
            if self.case else "")]
        if self.case:
            lines += ["", f'The first case that fails is "{self.case}":']
            lines += [_assignment(name, value) for name, value in (self.inputs or {}).items()]
            lines.append("")
        lines.append(f"{self.message}.")
        if self.got_output is not None and 1 < self.got_output.size <= 64:
            lines += [_assignment("yours", self.got_output),
                      _assignment("should be", self.expected_output)]
        if self.hint:
            lines.append(f"Why, probably: {self.hint}{'' if self.hint.endswith('?') else '.'}")
        lines.append(f"The formula: {self.formula}.")
        return "\n".join(lines)


def listed(exercises: Iterable[Any], as_json: bool = False) -> str:
    """The exercises in order: number, name, task and stub."""
    if as_json:
        return json.dumps({"exercises": [json.loads(described(e, True)) for e in exercises]})
    width, rows = max(len(e.name) for e in exercises), list(enumerate(exercises, 1))
    return "\n".join(f"{i:2}  {e.name:{width}}  {e.task}\n{'':{width + 6}}{e.stub}"
                     for i, e in rows)


def described(exercise: Any, as_json: bool = False) -> str:
    """One exercise: what to write, by which formula, and where its stub is."""
    e = exercise
    if as_json:
        return json.dumps({"name": e.name, "task": e.task, "function": e.signature, "returns":
                           e.outputs, "source": e.source, "formula": e.formula, "stub": e.stub})
    return (f"{e.name}: {e.task}\nWrite: {e.signature} -> {', '.join(e.outputs)}\n"
            f"The formula: {e.formula} ({e.source})\nA stub to start from: {e.stub}")


def number_text(value: float) -> str:
    """A number as judgements print it."""
    return f"{value:.10g}"


def _assignment(name: str, value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return f"  {name} = {value}"
    text = np.array2string(value, separator=", ", prefix=" " * 6, threshold=200, precision=10)
    return f"  {name}, shape {value.shape}:\n      {text}"


def _json_value(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _json_value(v) for key, v in value.items()}
    if isinstance(value, np.ndarray):
        return _json_value(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_json_value(v) for v in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
