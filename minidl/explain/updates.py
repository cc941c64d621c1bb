"""The update rules of ``minidl.optim``, line by line: as ``walk`` prints them for one number, and
as ``flow`` checks them for a whole parameter.

They are written a second time here, for float64: what they give is compared with what the
optimiser's kernel stored. t counts the steps from 1, all other names are the optimisers'.
"""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from .bound import bound_step
from .steps import Step, parsed, step_values, value_of

RULES = {
    "SGD": ["w = w - lr * g"],
    "momentum": ["b = momentum * b + (1 - dampening) * g", "w = w - lr * b"],
    "nesterov": ["b = momentum * b + (1 - dampening) * g", "d = g + momentum * b",
                 "w = w - lr * d"],
    "RMSprop": ["v = alpha * v + (1 - alpha) * g^2", "w = w - lr * g / (sqrt(v) + eps)"],
    "Adam": ["m = b1 * m + (1 - b1) * g", "v = b2 * v + (1 - b2) * g^2",
             "mh = m / (1 - b1^t)", "vh = v / (1 - b2^t)",
             "w = w - lr * mh / (sqrt(vh) + eps)"],
    "Adagrad": ["s = s + g^2", "w = w - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)"],
}
DECAY = {"AdamW": "w = w * (1 - lr * weight_decay)"}
_ODD = KeyError, TypeError, ValueError, ArithmeticError      # what odd options and states lead to
STATE = {"momentum_buffer": "b", "square_avg": "v", "exp_avg": "m", "exp_avg_sq": "v", "sum": "s"}


def _ready(rule: str, w, g, state: dict, step: int, options: dict, first: bool):
    """The rule's lines, none for one that is not the library's, and the names they use."""
    names = {k: np.float64(v) if type(v) is int else v for k, v in options.items()}
    names |= {"w": w, "g": g, "t": np.float64(step)}
    names |= {STATE[name]: value for name, value in state.items() if name in STATE}
    names |= dict(zip(("b1", "b2"), options.get("betas", ())))
    if rule == "SGD" and options.get("momentum"):
        rule = "nesterov" if options["nesterov"] else "momentum"
        names["dampening"] = 0.0 if first else options["dampening"]     # at first b = g
    lines = RULES.get(rule.replace("AdamW", "Adam"), [])
    if lines and options.get("weight_decay"):
        lines = [DECAY.get(rule, "g = g + weight_decay * w"), *lines]
    return lines, names


@cache
def rule_steps(lines: tuple[str, ...]) -> tuple[tuple[Step, ...], dict[str, str]]:
    """Lines as steps, and what each name that a line sets is called after the last of them: a line
    that sets w makes a new one, w'."""
    steps: list[Step] = []
    latest: dict[str, str] = {}
    for line in lines:
        name, formula = line.split(" = ")
        called = dict(latest)
        for step in parsed(formula.replace("^", "**")):
            called[step.name] = f"%{len(steps) + 1}"
            steps.append(step._replace(name=called[step.name], of=tuple(
                called.get(a, a) if isinstance(a, str) else a for a in step.of)))
        latest[name] = f"{latest.get(name, name)}'"
        steps[-1] = steps[-1]._replace(name=latest[name], text=line)
    return tuple(steps), latest


def rule_of(event: dict) -> dict:
    """An update event's rule for a program: its lines; the numbers and arrays they begin with, by
    name; the lines as steps with the numbers put in; and which step gives what the event stores."""
    arrays = {k: {"array": place} for k, place in event["state"].items()}
    try:
        lines, names = _ready(event["rule"], {"array": event["before"]},
                              {"array": event["gradient"]}, arrays, event["step"],
                              event["options"], event["first"])
        steps, latest = rule_steps(tuple(lines))
        used = {a for step in steps for a in step.of if isinstance(a, str)} & set(names)
        values = {k: v if isinstance(v, dict) else float(v) for k, v in names.items() if k in used}
        numbers = {k: v for k, v in values.items() if not isinstance(v, dict)}
        if not np.isfinite(list(numbers.values())).all():
            raise ValueError("no rule with numbers like these")
        stored = {"w": "after", **{STATE[name]: name for name in event["state"] if name in STATE}}
        return {"lines": list(lines), "names": values,
                "steps": [bound_step(step, numbers) for step in steps],
                "stores": {stored[name]: step for name, step in latest.items() if name in stored}}
    except _ODD:
        return {"lines": [], "names": {}, "steps": [], "stores": {}}


def worked(rule: str, w: float, g: float, state: dict[str, float], step: int, options: dict,
           first: bool) -> list[tuple[str, float]] | None:
    """The rule with the numbers put in, as (what, result); the last result is the new weight. None
    for a rule that is not the library's. `state` is what it was before the step; `first`: the
    optimiser had none yet."""
    try:
        lines, names = _ready(rule, w, g, state, step, options, first)
        return [_worked_line(text, names) for text in lines] or None
    except _ODD:              # of that name, but with options or state of its own
        return None


def applied(rule: str, w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray], step: int,
            options: dict, first: bool) -> dict[str, np.ndarray] | None:
    """The whole parameter after the step, under "after", and the optimiser's state under its own
    names; w, g and `state` in float64. `first` and None as above."""
    try:
        lines, names = _ready(rule, w, g, state, step, options, first)
        steps, latest = rule_steps(tuple(lines))
        values = step_values(steps, names)
    except _ODD:
        return None
    found = {name: values[latest[letter]] for name, letter in STATE.items()
             if name in state and letter in latest}
    return {"after": values[latest["w"]], **found} if lines else None


def _value(formula: str, names: dict):
    return value_of(formula.replace("^", "**"), names)


def _worked_line(text: str, names: dict) -> tuple[str, float]:
    """A rule with its numbers, and its result, which goes into `names`."""
    name, formula = text.split(" = ")
    numbers = {k: np.float64(v) for k, v in names.items() if isinstance(v, (int, float))}
    value = _value(formula, names | numbers)
    put = lambda found: (f"{numbers[found[0]]:.6g}" if numbers[found[0]] >= 0
                         else f"({numbers[found[0]]:.6g})")
    shown = re.sub(r"\b[A-Za-z]\w*\b", lambda m: put(m) if m[0] in numbers else m[0], formula)
    names[name] = float(value)
    return f"{text} = {shown}", float(value)
