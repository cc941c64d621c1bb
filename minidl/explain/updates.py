"""The update rules of ``minidl.optim`` for one number, line by line, as ``walk`` prints them.

They are written a second time here, for a single weight in float64: what they give is compared with
what the optimiser's kernel stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

Lines = Iterator[tuple[str, float]]


def worked(rule: str, w: float, g: float, state: dict[str, float], step: int,
           options: dict) -> list[tuple[str, float]] | None:
    """The rule with the numbers put in, as (what, result); the last result is the new weight. None
    for a rule that is not the library's. `state` is what it was before the step."""
    try:
        return _worked(rule, w, g, state, step, options)
    except KeyError:                        # of that name, but with options or state of its own
        return None


def _worked(rule: str, w: float, g: float, state: dict, step: int, options: dict):
    lines, decay = [], options.get("weight_decay") or 0.0
    if decay and rule == "AdamW":
        new = w * (1 - options["lr"] * decay)
        lines.append((f"w = w (1 - lr weight_decay) = {w:.6g} * (1 - {options['lr']:g} * "
                      f"{decay:g})", new))
        w = new
    elif decay:
        new = g + decay * w
        lines.append((f"g = g + weight_decay w = {g:.6g} + {decay:g} * {w:.6g}", new))
        g = new
    return [*lines, *RULES[rule](w, g, state, step, options)]


def _sgd(w: float, g: float, state: dict, step: int, o: dict) -> Lines:
    if not o["momentum"]:
        yield f"w = w - lr g = {w:.6g} - {o['lr']:g} * {g:.6g}", w - o["lr"] * g
        return
    b, share = state["momentum_buffer"], 1.0 if step == 1 else 1 - o["dampening"]
    new = o["momentum"] * b + share * g
    factor = "" if share == 1 else f"{share:g} * "
    yield f"b = momentum b + {factor}g = {o['momentum']:g} * {b:.6g} + {factor}{g:.6g}", new
    if o["nesterov"]:
        new = g + o["momentum"] * new
        yield "d = g + momentum b", new
    yield (f"w = w - lr {'d' if o['nesterov'] else 'b'} = {w:.6g} - {o['lr']:g} * {new:.6g}",
           w - o["lr"] * new)


def _rmsprop(w: float, g: float, state: dict, step: int, o: dict) -> Lines:
    a, v = o["alpha"], state["square_avg"]
    new = a * v + (1 - a) * g * g
    yield f"v = alpha v + (1 - alpha) g^2 = {a:g} * {v:.6g} + {1 - a:.6g} * ({g:.6g})^2", new
    yield _quotient(w, o["lr"], "g", g, "v", new, o["eps"])


def _adam(w: float, g: float, state: dict, step: int, o: dict) -> Lines:
    (b1, b2), m, v = o["betas"], state["exp_avg"], state["exp_avg_sq"]
    m2, v2 = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
    yield f"m = b1 m + (1 - b1) g = {b1:g} * {m:.6g} + {1 - b1:.6g} * {g:.6g}", m2
    yield f"v = b2 v + (1 - b2) g^2 = {b2:g} * {v:.6g} + {1 - b2:.6g} * ({g:.6g})^2", v2
    mh, vh = m2 / (1 - b1**step), v2 / (1 - b2**step)
    yield f"m^ = m / (1 - b1^t) = {m2:.6g} / (1 - {b1:g}^{step})", mh
    yield f"v^ = v / (1 - b2^t) = {v2:.6g} / (1 - {b2:g}^{step})", vh
    yield _quotient(w, o["lr"], "m^", mh, "v^", vh, o["eps"])


def _adagrad(w: float, g: float, state: dict, step: int, o: dict) -> Lines:
    s, lr = state["sum"] + g * g, o["lr"] / (1 + (step - 1) * o["lr_decay"])
    yield f"s = s + g^2 = {state['sum']:.6g} + ({g:.6g})^2", s
    yield _quotient(w, lr, "g", g, "s", s, o["eps"])


def _quotient(w, lr, up: str, above: float, down: str, below: float, eps: float):
    step = above / (math.sqrt(below) + eps) if below or eps else math.nan
    return (f"w = w - lr {up} / (sqrt({down}) + eps) = {w:.6g} - {lr:g} * {above:.6g} / "
            f"(sqrt({below:.6g}) + {eps:g})", w - lr * step)


RULES = {"SGD": _sgd, "RMSprop": _rmsprop, "Adam": _adam, "AdamW": _adam, "Adagrad": _adagrad}
