"""The update rules of ``minidl.optim``, line by line: as ``walk`` prints them for one number, and
as ``flow`` checks them for a whole parameter.

They are written a second time here, for float64: what they give is compared with what the
optimiser's kernel stored. t counts the steps from 1, all other names are the optimisers'.
"""

from __future__ import annotations

import re

import numpy as np

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
    names |= {"w": w, "g": g, "t": np.float64(step), "sqrt": np.sqrt}
    names |= {STATE[name]: value for name, value in state.items() if name in STATE}
    names |= dict(zip(("b1", "b2"), options.get("betas", ())))
    if rule == "SGD" and options.get("momentum"):
        rule = "nesterov" if options["nesterov"] else "momentum"
        names["dampening"] = 0.0 if first else options["dampening"]     # at first b = g
    lines = RULES.get(rule.replace("AdamW", "Adam"), [])
    if lines and options.get("weight_decay"):
        lines = [DECAY.get(rule, "g = g + weight_decay * w"), *lines]
    return lines, names


def worked(rule: str, w: float, g: float, state: dict[str, float], step: int,
           options: dict) -> list[tuple[str, float]] | None:
    """The rule with the numbers put in, as (what, result); the last result is the new weight. None
    for a rule that is not the library's. `state` is what it was before the step."""
    try:
        lines, names = _ready(rule, w, g, state, step, options, step == 1)
        return [_worked_line(text, names) for text in lines] or None
    except (NameError, *_ODD):              # of that name, but with options or state of its own
        return None


def applied(rule: str, w: np.ndarray, g: np.ndarray, state: dict[str, np.ndarray], step: int,
            options: dict) -> np.ndarray | None:
    """The whole parameter after the step, w, g and `state` in float64; None as above."""
    first = not np.any(state.get("momentum_buffer", 0))
    try:
        lines, names = _ready(rule, w, g, state, step, options, first)
        for text in lines:
            name, formula = text.split(" = ")
            names[name] = _value(formula, names)
    except (NameError, *_ODD):
        return None
    return names["w"] if lines else None


def _value(formula: str, names: dict):
    with np.errstate(all="ignore"):
        return eval(formula.replace("^", "**"), {"__builtins__": {}}, names)


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
