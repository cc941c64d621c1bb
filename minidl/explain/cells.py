"""Why one number is what it is: ``y.explain(...)``, ``x.explain_grad(...)``, ``t.why()``.

An element of an op's output is a sum of terms; so is an element of a gradient, over all ops that
used the tensor. ``terms.py`` finds the terms in the op's declaration, here they meet the numbers:
operands as they stand in the tensors, the gradient as it arrived. What they add up to is compared
with what was stored, which some kernel computed by other means.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import repeat

import numpy as np

from ..ops.terms import Composite, Contract, Elementwise, Gather
from ..tape import Node
from ..tensor import Tensor
from ..testing.compare import difference
from . import maps as maps
from .fields import back, forward
from .keeping import Kept, gradient_began, made, uses
from .source import Site
from .steps import written

SHOWN = 8                     # terms that are printed; the rest is summed


# --------------------------------------------------------------------------- what is returned
@dataclass(frozen=True)
class Term:
    """One summand: its factors as (name, index, value), and its value. For a nonlinear op the
    factors are what the function was given (`sign` "," and not "*")."""

    factors: tuple[tuple[str, tuple[int, ...], float], ...]
    value: float
    sign: str = "*"

    def __str__(self) -> str:
        return f"  {self.sign}  ".join(f"{name}{_indexed(index)} {_digits(v)}"
                                       for name, index, v in self.factors)


@dataclass(frozen=True)
class Explanation:
    """An element as a sum of terms: `terms`, the largest first, their sum `total`, and the `stored`
    number. A gradient has one of these in `parts` for each op that used the tensor."""

    title: str
    formula: tuple[str, ...]
    terms: list[Term]
    total: float
    stored: float | None
    outside: int = 0                          # terms that fall into the padding
    site: Site | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[Explanation, ...] = ()
    difference: float = field(init=False)

    def __post_init__(self):
        apart = float("nan") if self.stored is None else float(difference(self.stored, self.total))
        object.__setattr__(self, "difference", apart)

    @property
    def magnitude(self) -> float:
        """The sum of the terms' magnitudes: what a rounding error is measured by."""
        own = sum(abs(t.value) for t in self.terms)
        return own or sum(part.magnitude for part in self.parts)

    def rows(self) -> list[tuple[str, str]]:
        """What is printed, as (what, number)."""
        shown = [t for t in self.terms[:SHOWN] if t.value != 0] or self.terms[:1]
        rest = self.terms[len(shown):]
        rows = [(str(t), _digits(t.value)) for t in shown]
        if rest:
            rows.append((f"{len(rest)} more term{'s' * (len(rest) > 1)}", _digits(_total_of(rest))))
        if self.outside:
            rows.append((f"{self.outside} term{'s' * (self.outside > 1)} in the padding", "0"))
        return rows

    def __repr__(self) -> str:
        lines = [self.title, *(f"  {line}" for line in self.formula)]
        table = self.rows()
        width = max([len(what) for what, _ in table], default=0)
        lines += [f"    {what:{width}}  = {number:>11}" for what, number in table]
        for part in self.parts:
            lines += [f"  {line}" for line in repr(part).splitlines()]
        lines += [f"  {note}" for note in self.notes]
        if self.stored is None:
            lines.append(f"  sum     {_digits(self.total)}")
        else:
            lines.append(f"  sum     {_digits(self.total)}   stored  {_digits(self.stored)}   "
                         f"difference {self.difference:.2g}")
        if self.site:
            lines.append(f"  {self.site}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks."""
        escape = html.escape
        rows = "".join(f"<tr><td style='text-align:left'>{escape(what)}</td><td>{number}</td></tr>"
                       for what, number in self.rows())
        parts = "".join(part._repr_html_() for part in self.parts)
        stored = "" if self.stored is None else (
            f"<tr><td style='text-align:left'>stored</td><td>{_digits(self.stored)}</td></tr>"
            f"<tr><td style='text-align:left'>difference</td><td>{self.difference:.2g}</td></tr>")
        about = "".join(f"<div><code>{escape(line)}</code></div>" for line in (
            *self.formula, *self.notes, *([str(self.site)] if self.site else [])))
        return (f"<div><b>{escape(self.title)}</b>{about}{parts}<table>{rows}"
                f"<tr><td style='text-align:left'><b>sum</b></td><td><b>{_digits(self.total)}</b>"
                f"</td></tr>{stored}</table></div>")


class Lines(list):
    """A list of facts that prints one a line; `inputs` are the tensors to go on with."""

    inputs: tuple = ()

    def __repr__(self) -> str:
        return "\n".join(map(str, self))


def _digits(value: float) -> str:
    return f"{value + 0.0:.6g}"


def _indexed(index: Iterable) -> str:
    return f"[{','.join(map(str, index))}]"


# --------------------------------------------------------------------------- from tensors to calls
def made_by(t: Tensor, who: str) -> Kept:
    """The op's call that made t. Raises ValueError for a leaf."""
    kept = made(t)
    if kept is None:
        raise ValueError(f"{who}: this {t._brief()} is a leaf: no recorded op computed it. "
                         "(Comparisons, argmax and detach() are not recorded; other ops on tensors "
                         "that want no gradient are, inside `with minidl.keep():`)")
    return kept


def call_of(kept: Kept, who: str, out) -> maps.Call:
    """The op's call with the operands it had. Raises RuntimeError where they are gone or changed.
    """
    op, args = kept.op, kept.args
    if args is None:
        backward, alive = kept.node.backward, _alive(kept.node)
        missing = [name for name in op.signature.parameters if name not in alive]
        if missing:
            why = "backward() freed what it used" if backward is None else (
                f"its argument {missing[0]!r} is not kept")
            raise RuntimeError(f"{who}: {op.name}: {why}. Run the computation "
                               "inside `with minidl.keep():`")
        args = [alive[name] for name in op.signature.parameters]
    if op.terms is None:
        raise TypeError(f"{who}: {op.name} declares no terms (op(..., terms=...)), so there "
                        "is nothing to explain it by")
    for x in (*op.inputs(maps.bound_arguments(op, args)), out):
        if isinstance(x, Tensor) and x._last_change > kept.born:
            raise RuntimeError(
                f"{who}: {op.name}: a tensor of shape {x.shape} was changed in "
                "place since (by optimizer.step(), perhaps): an explanation would be of other "
                "numbers. Ask before the change, or record the step: a trace holds copies")
    return maps.Call.of(op, args, out)


def _alive(node: Node) -> dict:
    """The op's arguments that are still there: what its backward closure names, leaves that wait
    for a gradient, and tensors that were not given."""
    if node.backward is None:
        return {}
    names = list(node.op.signature.parameters)
    found = {names[i]: None for i, shape in zip(node.op.places, node.shapes) if shape is None}
    found |= {names[i]: x for i, x in zip(node.op.places, node.parents) if isinstance(x, Tensor)}
    for name, cell in zip(node.backward.__code__.co_freevars, node.backward.__closure__ or ()):
        with suppress(ValueError):                       # a name that this call did not set
            found[name] = cell.cell_contents
    return found


def checked(t: Tensor, index: tuple, who: str) -> tuple[int, ...]:
    """The index as whole numbers of t's axes. Raises IndexError, TypeError."""
    if len(index) == 1 and isinstance(index[0], (tuple, list)):
        index = tuple(index[0])
    if len(index) != t.ndim:
        raise IndexError(f"{who}: shape {t.shape} needs {t.ndim} indices, got {len(index)}")
    result = []
    for axis, (i, n) in enumerate(zip(index, t.shape)):
        if isinstance(i, bool) or not hasattr(i, "__index__"):
            raise TypeError(f"{who}: index {axis} must be an integer, got {i!r}")
        if not -n <= int(i) < n:
            raise IndexError(f"{who}: index {i} of axis {axis} is outside 0..{n - 1}, shape "
                             f"{t.shape}")
        result.append(int(i) % n)
    return tuple(result)


def names_of(call: maps.Call) -> list[str]:
    """The operands' names in the declaration."""
    if call.op.sequence:
        return [f"x{k}" for k in range(len(call.operands))]
    kind = call.op.terms
    if isinstance(kind, Contract):
        bias = re.findall(r"(\w+)\[", kind.bias)[1:]
        return [*re.findall(r"(\w+)\[", kind.text)[1:], *bias][:len(call.operands)]
    names = list(call.op.signature.parameters)
    given = [names[i] for i in call.op.places if i >= len(call.args) or call.args[i] is not None]
    return [maps.SHORT_NAMES.get(name, name) for name in given] or ["x", "y", "z"]


def result_of(call: maps.Call) -> str:
    """The result's name: y, or "out" where y is the second operand."""
    return "out" if "y" in names_of(call) else "y"


# --------------------------------------------------------------------------- values
def explain(t: Tensor, index: tuple) -> Explanation:
    """Of one element of t: see :meth:`minidl.Tensor.explain`."""
    kept, index = made_by(t, "explain"), checked(t, index, "explain")
    return explain_call(call_of(kept, "explain", t), index, kept.site)


@np.errstate(all="ignore")                       # inf and nan are values
def explain_call(call: maps.Call, index: tuple[int, ...], site: Site | None = None) -> Explanation:
    """Of one element of a call's output."""
    kind, names, notes = call.op.terms, names_of(call), []
    title = f"{_title(call.op)}   {result_of(call)}{_indexed(index)}"
    if isinstance(kind, (Elementwise, Composite)):
        value = float(maps.value(call)[index])
        factors = tuple(f for k, x in enumerate(call.operands) for f in _factors(
            names[k], x, _seen(call, k, index)))
        if isinstance(kind, Elementwise):              # masks and targets that are no operands
            factors += tuple((name, index, float(np.broadcast_to(a, call.out.shape)[index]))
                             for name, a in call.named().items() if isinstance(a, np.ndarray)
                             and name not in names and re.search(rf"\b{name}\b", kind.value))
        found, outside = [Term(factors[:SHOWN], value, ",")], 0
        if len(factors) > SHOWN:
            notes.append(f"and {len(factors) - SHOWN} more operands")
        if isinstance(kind, Composite):
            notes += [f"{name}[{index[0]}] = {_digits(a[index[0]])}" for name, a in
                      call.named().items() if name not in names and isinstance(a, np.ndarray)
                      and call.out.ndim and a.shape == call.out.shape[:1]]
    else:
        found, outside = [], 0
        for group in maps.linear_terms(call, (None, index)):
            found += _products(call, names, group)
            outside += group.outside
        if not found and isinstance(kind, Gather):
            notes.append("the constant around the operand")
            found = [Term((), float(call.named().get("value", 0.0)))]
        if call.op.name == "max_pool2d":
            notes.append(_window_text(call, index))
    found.sort(key=lambda term: -abs(term.value))
    return Explanation(title, _formula(call, index), found, _total_of(found),
                       float(call.out[index]), outside, site, tuple(notes))


def _title(op) -> str:
    return op.name + (f" ({op.source})" if op.source else "")


def _total_of(found: list[Term]) -> float:
    return float(sum(term.value for term in found))


def _factors(name: str, x: np.ndarray, flat: np.ndarray) -> list[tuple]:
    """(name, index, value) of the elements of x at flat positions."""
    if not len(flat):
        return []
    index = np.unravel_index(flat, x.shape) if x.ndim else ()
    places = zip(*(i.tolist() for i in index)) if x.ndim else repeat((), len(flat))
    return list(zip(repeat(name), places, x.reshape(-1)[flat].astype(float).tolist()))


def _products(call, names, group, gy=None, without: int | None = None) -> list[Term]:
    """The terms of a group, with the upstream gradient in the place of one operand."""
    values = maps.products(call, group, without)
    columns = [(names[k], call.operands[k], flat) for k, flat in group.operands.items()
               if k != without]
    if gy is not None:
        values = values * gy.ravel()[group.out]
        columns.insert(0, ("gy", gy, group.out))
    factors = zip(*(_factors(*column) for column in columns)) if columns else repeat(())
    return [Term(f, value) for f, value in zip(factors, values.tolist())]


def _seen(call, k: int, index) -> np.ndarray:
    """Where the elements of operand k are that a nonlinear op's element depends on."""
    mask = np.zeros(call.out.shape, bool)
    mask[index] = True
    return np.flatnonzero(back(call, k, mask))


def _window_text(call, index) -> str:
    (group,) = [maps.contraction_terms(call, WINDOW, (None, index))]
    x = call.operands[0]
    values = ", ".join(f"x{_indexed(place)} {_digits(v)}"
                       for _, place, v in _factors("x", x, group.operands[0]))
    return f"the largest of {values}"


WINDOW = Contract("y[n,c,i,j] += x[n, c, i*SH - PH + u*DH, j*SW - PW + v*DW]",
                  {"u": "KH", "v": "KW"})
"""What a max pooling window may see; which of them it takes, the data decides."""


def _formula(call, index) -> tuple[str, ...]:
    """The declaration, and the same with the element's indices and the op's numbers put in."""
    kind = call.op.terms
    if isinstance(kind, (Elementwise, Composite)):
        numbers = {k: v for k, v in call.named().items() if isinstance(v, (int, float))}
        given = ", ".join(f"{k} = {v:g}" for k, v in numbers.items() if re.search(
            rf"\b{k}\b", kind.value))
        return (written(kind.value, result_of(call)) + (f",  {given}" if given else ""),)
    if not isinstance(kind, Contract):
        return ({"Gather": "y = one element of x", "Scatter": "y = the sum of what is added here",
                 "Reduce": "y = the sum of x over dim"}[type(kind).__name__],)
    product = _solved(call, None, index)
    if len(call.operands) == maps.factors(kind):
        return (kind.text, f"y{_indexed(index)} = {product}")
    (_, axes), (b, own) = re.findall(r"(\w+)\[(.*?)\]", kind.bias)
    at = [index[axes.split(",").index(axis)] for axis in own.split(",")]
    return (maps.with_bias(kind.text, kind.bias),
            f"y{_indexed(index)} = {b}{_indexed(at)} + {product}")


def _solved(call, k: int | None, index) -> str:
    """A Contract's sum for one element of the output, or for the gradient of one of operand k: the
    element's indices put in, and conditions where they stand in an expression."""
    kind = call.op.terms
    text = kind.text if k is None or k < maps.factors(kind) else kind.bias
    own, *others = re.findall(r"(\w+)(\[[^\]]*\])", text)
    if k is not None:
        given, names = ("gy", own[1]), names_of(call)
        own = next(array for array in others if array[0] == names[k])
        others = [given, *(array for array in others if array is not own)]
    known = dict(zip([axis.strip() for axis in own[1][1:-1].split(",")][::-1], index[::-1]))
    right, conditions = " * ".join(map("".join, others)) or "1", []
    for axis, i in known.items():
        if axis.isidentifier():
            right = re.sub(rf"\b{axis}\b(?!\[)", str(i), right)
        elif axis != "...":
            conditions.append(f"{_put(axis, call)} = {i}")
    free = sorted(set(re.findall(r"\b[a-z]\w*\b(?!\[)", " ".join([right, *conditions]))))
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return (f"sum over {', '.join(free)} of " if free else "") + _put(right, call) + where


def _put(text: str, call) -> str:
    """The op's own numbers in the place of capital names."""
    for name, value in call.named().items():
        if name.isupper() and isinstance(value, (int, np.integer)):
            text = re.sub(rf"\b{name}\b", str(value), text)
    text = re.sub(r"\b(\d+)\*(\d+)\b", lambda m: str(int(m[1]) * int(m[2])), text)
    text = re.sub(r"\*1\b| - 0\b| \+ 0\b", "", text)
    return re.sub(r"(?<=[\[,] )(\d+) - (\d+)\b(?!\*)", lambda m: str(int(m[1]) - int(m[2])), text)


# --------------------------------------------------------------------------- gradients
@np.errstate(all="ignore")                       # inf and nan are values
def explain_grad(x: Tensor, index: tuple) -> Explanation:
    """Of one element of x's gradient: see :meth:`minidl.Tensor.explain_grad`."""
    index = checked(x, index, "explain_grad")
    if x.grad is None:
        why = "it was not created with requires_grad=True" if not x.requires_grad else (
            "call backward() first, ask before zero_grad(), and for a tensor inside the graph run "
            "all of it inside `with minidl.keep():`")
        raise RuntimeError(f"explain_grad: no gradient has arrived here (None, not zero): {why}")
    stored = float(maps.float64_array(x.grad)[index])
    since = gradient_began(x) or x.grad._last_change
    seed, used_by = x.history.seed if x.history else None, [
        use for use in dict.fromkeys(uses(x))
        if use.ran >= since or not use.ran]               # not: before the last zero_grad()
    if not used_by and seed is None:
        raise RuntimeError("explain_grad: it is not known who used this tensor" + (
            " since it was changed in place" if x._last_change else "")
            + ". Run forward and backward inside `with minidl.keep():`, and ask before the next "
            "update")
    found = [] if seed is None else [Term(
        (("backward() began with", (), (value := float(maps.float64_array(seed)[index]))),), value)]
    parts = tuple(part for use in used_by for part in _gradient_parts(x, use, index))
    count = sum(bool(part.terms) for part in parts)
    notes = [f"{count} uses of this tensor: their contributions add up"] if count > 1 else []
    total = _total_of(found) + sum(p.total for p in parts)
    result = Explanation(f"gradient at {_indexed(index)}", (), found, total, stored,
                         notes=tuple(notes), parts=parts)
    came = max([abs(term.factors[0][2]) for part in parts for term in part.terms], default=0.0)
    limit = 1e-3 * (result.magnitude + abs(stored)) + 1e-5 * came      # slopes were rounded too
    if result.difference and not abs(result.difference) <= limit:
        return replace(result, notes=(*notes, "the stored gradient is another number: "
                                      f"{'; '.join(_reasons(x, index, total))}"))
    return result


def _reasons(x: Tensor, index: tuple, total: float) -> list[str]:
    """Why a stored gradient is not its terms' sum: what is known to have happened to it, if any."""
    grad, began, found = x.grad, gradient_began(x), []
    if x.history and x.history.hooked >= max(began, 1):
        found.append("a hook saw it, and what a hook returns is stored")
    if began and grad._last_change > began:
        found.append("it was changed in place after backward(), as clipping does")
    if not began:
        found.append("the program put a gradient here itself, or a backward() outside keep() did")
    if 0 < began < x._last_change:
        found.append("part of it is older than the tensor's numbers: this tensor was changed (by "
                     "optimizer.step(), perhaps), and its gradient was not cleared: zero_grad()")
    if not np.isfinite(total - maps.float64_array(grad)[index]):
        found.append("not all is finite here, and a kernel may have multiplied inf by the zeros of "
                     "the padding, or added inf - inf")
    return found or ["its array was written to, or a backward() outside keep() added to it, or the "
                     "backward pass of an op that used this tensor is wrong; the check() of a "
                     "recording tells"]


def _gradient_parts(x: Tensor, use: Kept, index):
    """What one op's call contributed, once for each place in which it used x."""
    inputs = use.op.inputs(maps.bound_arguments(use.op, use.args))
    for k, operand in enumerate(inputs):
        if operand is x and use.out.grad is None:
            yield Explanation(f"{_title(use.op)}: no gradient arrived here, so it gave none", (),
                              [], 0.0, None, site=use.site)
        elif operand is x:
            call = call_of(use, "explain_grad", use.out)
            part = explain_contribution(call, k, index, maps.float64_array(use.out.grad), use.site)
            yield replace(part, parts=_through(use, part))


def _through(use: Kept, part: Explanation) -> tuple[Explanation, ...]:
    """A reshape hands one number on as it is: what that number was added up from."""
    if not isinstance(use.op.terms, Gather) or len(part.terms) != 1:
        return ()
    try:
        return (explain_grad(use.out, part.terms[0].factors[0][1]),)
    except RuntimeError:
        return ()


@np.errstate(all="ignore")                       # inf and nan are values
def explain_contribution(call: maps.Call, k: int, index, gy, site=None) -> Explanation:
    """Of one element of what the call's backward gives to operand k, for the upstream `gy`."""
    kind, names, outside = call.op.terms, names_of(call), 0
    x, shape = call.operands[k], call.operands[k].shape
    result = result_of(call)
    slope = f"d{result}/d{names[k]}"
    place = int(np.ravel_multi_index(index, shape)) if shape else 0
    if isinstance(kind, (Elementwise, Composite)):
        if isinstance(kind, Elementwise):
            partial = kind.partials[k] or "0"
            formula = f"{slope} = {partial}"
            slopes = np.broadcast_to(maps.evaluated(partial, call), call.out.shape).ravel()
            reached = np.flatnonzero(maps.broadcast_positions(x, call.out.shape).ravel() == place)
        else:
            formula = f"{slope} of {written(kind.value, result)}"
            slopes = maps.slopes(call, k, place).ravel()
            mask = np.arange(x.size).reshape(shape) == place       # a NaN elsewhere is no slope
            reached = np.flatnonzero(forward(call, k, mask).ravel() & (slopes != 0))
        factors = zip(_factors(f"g{result}", gy, reached),
                      _factors(slope, slopes.reshape(gy.shape), reached))
        found = [Term(pair, pair[0][2] * pair[1][2]) for pair in factors]
    else:
        found, formula = [], f"g{names[k]}{_indexed(index)} = " + (
            _solved(call, k, index) if isinstance(kind, Contract)
            else "the sum of gy where it went")
        for group in maps.linear_terms(call, (k, index)):
            if k in group.operands:
                found += _products(call, names, group, gy, without=k)
                outside += group.outside
    found.sort(key=lambda term: -abs(term.value))
    lines = (formula, *filter(None, [k == 0 and getattr(kind, "slope", "")]))
    return Explanation(f"from {_title(call.op)}", lines, found, _total_of(found), None, outside,
                       site)


# --------------------------------------------------------------------------- who and whence
def why(t: Tensor) -> Lines:
    """See :meth:`minidl.Tensor.why`."""
    kept = made(t)
    if kept is None:
        kind = "a parameter or input" if t.requires_grad else "made by no recorded op"
        return Lines([f"a leaf, {t._brief()}: {kind}"])
    lines = Lines([f"{_title(kept.op)} -> shape {t.shape}"])
    if kept.site:
        lines.append(f"  called at {kept.site}" + (
            f"   (module {kept.site.module})" if kept.site.module else ""))
    else:
        lines.append("  called at: kept only inside `with minidl.keep():`")
    if kept.args is None:
        lines += [f"  input of shape {shape}" for shape in kept.node.shapes if shape is not None]
        return lines
    args = maps.bound_arguments(kept.op, kept.args)
    lines.inputs = tuple(x for x in kept.op.inputs(args) if isinstance(x, Tensor))
    given = dict(zip(kept.op.signature.parameters, args))
    if kept.op.sequence:                               # cat's list, one by one
        tensors, *others = given.items()
        given = {f"x{k}": x for k, x in enumerate(tensors[1])} | dict(others)
    for name, value in given.items():
        if isinstance(value, Tensor):
            before = made(value)
            lines.append(f"  {name}: shape {value.shape}, {value.dtype}, from "
                         + (before.op.name if before else "a leaf"))
        elif isinstance(value, np.ndarray):
            lines.append(f"  {name}: an array of shape {value.shape}, {value.dtype}")
        else:
            lines.append(f"  {name} = {value!r}")
    return lines


def where_used(t: Tensor) -> Lines:
    """See :meth:`minidl.Tensor.where_used`."""
    found = uses(t)
    lines = Lines([_title(use.op) + (f"   {use.site}" if use.site else "") for use in found]
                  or ["nothing has used it" if t.history is not None and t.history.made is not None
                      else "no use was recorded; `with minidl.keep():` does"])
    lines.inputs = tuple(use.out for use in found)
    return lines
