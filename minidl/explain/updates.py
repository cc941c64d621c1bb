"""The update rules of ``minidl.optim`` for one number, line by line, as ``walk`` prints them.

They are written a second time here, for a single weight in float64: what they give is compared with
what the optimiser's kernel stored. t counts the steps from 1, all other names are the optimisers'.
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
STATE = {"momentum_buffer": "b", "square_avg": "v", "exp_avg": "m", "exp_avg_sq": "v", "sum": "s"}


def worked(rule: str, w: float, g: float, state: dict[str, float], step: int,
           options: dict) -> list[tuple[str, float]] | None:
    """The rule with the numbers put in, as (what, result); the last result is the new weight. None
    for a rule that is not the library's. `state` is what it was before the step."""
    names = {**options, "w": w, "g": g, "t": step, "sqrt": np.sqrt}
    names |= {STATE[name]: value for name, value in state.items() if name in STATE}
    names |= dict(zip(("b1", "b2"), options.get("betas", ())))
    if rule == "SGD" and options.get("momentum"):
        rule, first = "nesterov" if options["nesterov"] else "momentum", step == 1
        names["dampening"] = 0.0 if first else options["dampening"]
    lines = RULES.get(rule.replace("AdamW", "Adam"))
    if lines and options.get("weight_decay"):
        lines = [DECAY.get(rule, "g = g + weight_decay * w"), *lines]
    try:
        return lines and [_line(text, names) for text in lines]
    except NameError:                       # of that name, but with options or state of its own
        return None


def _line(text: str, names: dict) -> tuple[str, float]:
    """A rule with its numbers, and its result, which goes into `names`."""
    name, formula = text.split(" = ")
    numbers = {k: np.float64(v) for k, v in names.items() if isinstance(v, (int, float))}
    with np.errstate(all="ignore"):
        value = eval(formula.replace("^", "**"), {"__builtins__": {}}, names | numbers)
    put = lambda found: (f"{numbers[found[0]]:.6g}" if numbers[found[0]] >= 0
                         else f"({numbers[found[0]]:.6g})")
    shown = re.sub("|".join(rf"\b{k}\b" for k in numbers), put, formula)
    names[name] = float(value)
    return f"{text} = {shown}", float(value)
