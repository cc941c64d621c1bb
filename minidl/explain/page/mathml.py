"""The declarations of the ops, and the update rules, as MathML for the page.

A declaration (``minidl.ops.terms``) becomes LaTeX here, and latex2mathml makes MathML of that.
Classes mark what the page puts numbers into: ``s-x`` a symbol, ``ax-1-0`` an index of an array of a
sum of products (0 the result, 1, 2, ... its factors; axes counted from the last; ``bx`` of the
bias), ``sum`` the indices that are summed over, ``if-1-0`` an index that must be a given number.
"""

from __future__ import annotations

import ast
import re
from functools import cache

from ...op import OPS, Op
from ...ops.terms import Composite, Contract, Elementwise, Gather, Reduce
from ..fields import WINDOW
from ..formula_text import names_of
from ..maps import Call
from ..steps import parsed

SYMBOLS = {"SH": "s_h", "SW": "s_w", "PH": "p_h", "PW": "p_w", "DH": "d_h", "DW": "d_w",
           "KH": "k_h", "KW": "k_w", "eps": r"\epsilon", "lr": r"\eta", "b1": r"\beta_1",
           "b2": r"\beta_2", "mh": r"\hat{m}", "vh": r"\hat{v}", "alpha": r"\alpha",
           "negative_slope": "a", "slope": "a", "weight_decay": r"\lambda", "momentum": r"\mu",
           "dampening": r"\tau", "lr_decay": r"\gamma", "pi": r"\pi", "gy": "g_y", "nll": r"\ell"}
SLOPES = {
    "softmax": r"\frac{\partial y_j}{\partial x_i} = y_j (\delta_{ij} - y_i)",
    "log_softmax": r"\frac{\partial y_j}{\partial x_i} = \delta_{ij} - \mathrm{softmax}(x)_i",
    "logsumexp": r"\frac{\partial y}{\partial x_i} = \mathrm{softmax}(x)_i",
    "norm": r"\frac{\partial y}{\partial x_i} = \frac{x_i}{y}",
    "normalized_affine": r"\frac{\partial y_j}{\partial x_i} = \frac{w}{\sqrt{v + \epsilon}}"
                         r" (\delta_{ij} - \frac{1}{n} - \frac{z_i z_j}{n})",
    "standardize": r"\frac{\partial y_j}{\partial x_i} = \frac{1}{\sqrt{v + \epsilon}}"
                   r" (\delta_{ij} - \frac{1}{n} - \frac{y_i y_j}{n})",
    "cross_entropy_rows": r"\frac{\partial y}{\partial x_i} = k"
                          r" (\mathrm{softmax}(x)_i - \delta_{it})",
}
"""The ``slope`` of the composite ops' declarations."""


def formulas(names) -> dict[str, dict]:
    """MathML of the named ops: ``{"conv2d": {"value": [lines], "gradients": [one an operand]}}``;
    there is none of an op that declares nothing."""
    found = {}
    for name in names:
        entry = OPS.get(name)
        if entry is not None and entry.terms is not None:
            value, gradients = latex_of(entry)
            found[name] = {"value": [mathml(line) for line in value],
                           "gradients": [mathml(g) for g in gradients]}
    return found


def line_formulas(formulas_of_lines) -> dict[str, str]:
    """MathML of lines such as ``m = b1 * m + (1 - b1) * g``: of composite ops and update rules,
    each a list of lines. A value that replaces an old one has a prime, also where it is used. Of a
    line that is no formula (in somebody's file) there is none."""
    found = {}
    for lines in formulas_of_lines:
        renewed: set[str] = set()
        for line in lines:
            if not _is_formula(line):
                continue
            name, right = line.split(" = ", 1)
            latex = _latex(right.replace("^", "**"))
            for old in renewed:
                latex = latex.replace(_symbol(old), _symbol(old) + "'")
            if re.search(rf"\b{name}\b", right):
                renewed.add(name)
            found[line] = mathml(f"{_symbol(name)}{chr(39) * (name in renewed)} = {latex}")
    return found


def _is_formula(line: str) -> bool:
    """Is it ``name = expression`` of names, numbers and known functions, not too long to read?"""
    name, _, right = line.partition(" = ")
    try:
        return len(line) <= 400 and re.fullmatch(r"[A-Za-z]\w*'?", name) is not None and bool(
            _latex(right.replace("^", "**")))
    except (ValueError, SyntaxError, KeyError, TypeError, IndexError, RecursionError):
        return False


@cache
def mathml(latex: str) -> str:
    """MathML of LaTeX. Raises ImportError, saying what to install, without latex2mathml."""
    try:
        from latex2mathml.converter import convert
    except ImportError as error:
        raise ImportError("the page's formulas are made by latex2mathml: pip install latex2mathml"
                          ) from error
    return convert(latex, display="block")


def latex_of(entry: Op) -> tuple[list[str], list[str]]:
    """An op's value, line by line, and its gradient for each operand, as LaTeX."""
    kind, call = entry.terms, Call(entry, (), [None] * (1 if entry.sequence else 9), None)
    names, y = names_of(call), "y"
    if entry.name == "max_pool2d":
        return _largest_in_window()
    if isinstance(kind, Contract):
        return _sum_of_products(kind)
    if isinstance(kind, Elementwise):
        value = f"{_symbol(y)} = {_latex(kind.value)}"
        return [value], [rf"{_upstream(x)} = {_upstream(y)} \cdot {_latex(partial or '0', binds=3)}"
                         for x, partial in zip(names, kind.partials)]
    if isinstance(kind, Composite):
        lines = [step.text for step in parsed(kind.value) if step.text] or [f"{y} = {kind.value}"]
        slope = SLOPES.get(entry.name)
        sums = [rf"{_upstream(x)}_i = \sum_{{j}} {_upstream(y)}_j "
                rf"\frac{{\partial {y}_j}}{{\partial {x}_i}}" for x in names]
        if slope:
            sums[0] += rf" \quad {slope}"
        return [" = ".join(_sides(line)) for line in lines], sums
    if isinstance(kind, Reduce):
        return [r"y_p = \sum_{q \mapsto p} x_q"], [
            rf"{_upstream('x')}_q = {_upstream(y)}_p \quad q \mapsto p"]
    if isinstance(kind, Gather):
        return ["y_p = x_{q(p)}"], [rf"{_upstream(x)}_q = \sum_{{p:\, q(p) = q}} {_upstream(y)}_p"
                                 for x in names]
    return [r"y_p = \sum_{q:\, p(q) = p} x_q"], [
        rf"{_upstream('x')}_q = {_upstream(y)}_{{p(q)}}"]


def _largest_in_window() -> tuple[list[str], list[str]]:
    """Max pooling, which chooses: the formula that its declaration, a Gather, does not say."""
    x = _element(1, _arrays_of(WINDOW.text)[1])
    return ([rf"{_element(0, _arrays_of(WINDOW.text)[0])} = \max_{{u,v}} {x}"],
            [rf"{_upstream('x')}_q = \sum_{{p:\, \text{{the maximum of window }} p "
             rf"\text{{ is at }} q}} {_upstream('y')}_p"])


def _sides(line: str) -> list[str]:
    name, text = line.split(" = ", 1)
    return [_symbol(name), _latex(text)]


# --------------------------------------------------------------------------- sums of products
def _sum_of_products(kind: Contract) -> tuple[list[str], list[str]]:
    """``y[n,o] += x[n,i] * w[o,i]`` as a sum, and the sums that are its gradients."""
    arrays = _arrays_of(kind.text)
    bias = _arrays_of(kind.bias)
    pure = [axis for axis in arrays[0][1] if axis.isidentifier()]
    free = [i for i in _indices(arrays) if i not in pure]
    value = _element(0, arrays[0]) + " = " + _sum(free, _conditions(0, arrays[0])) + " ".join(
        _element(k, array) for k, array in enumerate(arrays) if k)
    gradients = []
    for k, (name, axes) in enumerate(arrays):
        if k:
            own = [axis for axis in axes if axis.isidentifier()]
            summed = [i for i in _indices(arrays) if i not in own]
            rest = [_element(0, ("g" + arrays[0][0], arrays[0][1])), *(
                _element(j, array) for j, array in enumerate(arrays) if j not in (0, k))]
            gradients.append(_element(k, ("g" + name, axes), result=True) + " = " + _sum(
                summed, _conditions(k, (name, axes))) + " ".join(rest))
    for name, axes in bias[1:]:
        (y, own), element = bias[0], lambda k, *array: _element(k, array, "bx")
        value += rf"\class{{bias}}{{ + {element(1, name, axes)}}}"
        gradients.append(element(1, "g" + name, axes) + " = " + _sum(
            [i for i in own if i not in axes], []) + element(0, "g" + y, own))
    return [value], gradients


def _arrays_of(text: str) -> list[tuple[str, list[str]]]:
    return [(name, [axis.strip() for axis in axes.split(",")])
            for name, axes in re.findall(r"(\w+)\[([^\]]*)\]", text)]


def _indices(arrays) -> list[str]:
    """Every index of a sum of products, in the order of the text."""
    found = [i for _, axes in arrays for axis in axes if axis != "..."
             for i in re.findall(r"\b[a-z]\w*\b", axis)]
    return list(dict.fromkeys(found))


def _element(k: int, array: tuple[str, list[str]], kind: str = "ax", result: bool | None = None
             ) -> str:
    """An array's symbol with its indices; of the result a linear form is one letter."""
    name, axes = array
    letters, alone = iter("pq"), k == 0 if result is None else result
    written = []
    for d, axis in enumerate(axes):
        linear = axis != "..." and not axis.isidentifier()
        text = next(letters) if linear and alone else _index_latex(axis)
        written.append(rf"\class{{{kind}-{k}-{len(axes) - 1 - d}}}{{{text}}}")
    head = _symbol(name) if not name.startswith("g") or len(name) == 1 else _upstream(name[1:])
    return rf"{{{head}}}_{{{','.join(written)}}}"


def _conditions(k: int, array: tuple[str, list[str]]) -> list[str]:
    """Of a linear form on the left: that it is the index asked for."""
    letters = iter("pq")
    return [rf"\class{{if-{k}-{len(array[1]) - 1 - d}}}{{{_index_latex(axis)} = {next(letters)}}}"
            for d, axis in enumerate(array[1]) if axis != "..." and not axis.isidentifier()]


def _sum(indices: list[str], conditions: list[str]) -> str:
    if not indices:
        return ""
    under = rf"\class{{sum}}{{{','.join(indices)}}}"
    if conditions:
        under = rf"{under} : {', '.join(conditions)}"
    return rf"\sum_{{{under}}} "


def _index_latex(axis: str) -> str:
    return r"\ldots" if axis == "..." else _latex(axis, marked=False)


# --------------------------------------------------------------------------- expressions
_SIGNS = {ast.Add: (1, " + "), ast.Sub: (1, " - "), ast.Mult: (2, r" \cdot "), ast.Gt: (0, " > "),
          ast.GtE: (0, r" \ge "), ast.Lt: (0, " < "), ast.LtE: (0, r" \le "), ast.Eq: (0, " = "),
          ast.NotEq: (0, r" \ne ")}


def _latex(text: str, marked: bool = True, binds: int = 0) -> str:
    """An expression of a declaration as LaTeX; `marked`: its symbols have classes."""
    return _written(ast.parse(text.strip(), mode="eval").body, binds, marked)


def _upstream(name: str) -> str:
    return rf"\class{{s-g{name}}}{{\mathit{{g{name}}}}}"


def _symbol(name: str, marked: bool = True) -> str:
    text = SYMBOLS.get(name) or (name if len(name) == 1 else rf"\mathrm{{{name}}}")
    return rf"\class{{s-{name}}}{{{text}}}" if marked else text


def _written(e: ast.expr, above: int, marked: bool) -> str:
    """`above`: how tightly what stands around it binds."""
    inner = lambda of, binds=0: _written(of, binds, marked)
    if isinstance(e, ast.Constant):
        return f"{e.value:g}" if "e" not in f"{e.value:g}" else r"{} \cdot 10^{{{}}}".format(
            *(f"{float(part):g}" for part in f"{e.value:e}".split("e")))
    if isinstance(e, ast.Name):
        return _symbol(e.id, marked)
    if isinstance(e, ast.UnaryOp):
        text = f"-{inner(e.operand, 2)}"
        return f"({text})" if above > 1 else text
    if isinstance(e, ast.Compare):
        return f"{inner(e.left)}{_SIGNS[type(e.ops[0])][1]}{inner(e.comparators[0])}"
    if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Div):
        return rf"\frac{{{inner(e.left)}}}{{{inner(e.right)}}}"
    if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Pow):
        return rf"{{{inner(e.left, 3)}}}^{{{inner(e.right)}}}"
    if isinstance(e, ast.BinOp):
        if isinstance(e.right, ast.Constant) and e.right.value == 1.0 and isinstance(
                e.left, ast.Compare):          # (x > 0) * 1.0: one where it holds
            return rf"[{inner(e.left)}]"
        binds, sign = _SIGNS[type(e.op)]
        if isinstance(e.op, ast.Mult) and not marked:      # of an index
            sign = r"\,"
        text = inner(e.left, binds) + sign + inner(e.right, binds + isinstance(e.op, ast.Sub))
        return rf"({text})" if binds < above else text
    if isinstance(e, ast.Call) and isinstance(e.func, ast.Name):
        return _function(e.func.id, e.args, inner)
    raise ValueError(f"no formula: {ast.unparse(e)}")


def _function(name: str, args: list, inner) -> str:
    if name == "where":
        c, a, b = (inner(x) for x in args)
        return rf"\begin{{cases}} {a} & {c} \\ {b} & \text{{otherwise}} \end{{cases}}"
    if name == "take":
        return rf"{inner(args[0])}_{{{inner(args[1])}}}"
    shapes = {
        "exp": "e^{{{0}}}", "expm1": "e^{{{0}}} - 1", "sqrt": r"\sqrt{{{0}}}", "abs": r"|{0}|",
        "log1p": r"\log(1 + {0})", "maximum": r"\max({0}, {1})", "minimum": r"\min({0}, {1})",
        "clip": r"\min(\max({0}, {1}), {2})", "column": "{0}", "sum": r"\sum {0}",
        "max": r"\max({0})", "min": r"\min({0})", "mean": r"\mathrm{{mean}}({0})",
        "var": r"\mathrm{{var}}({0})", "sign": r"\mathrm{{sign}}({0})",
        "erf": r"\mathrm{{erf}}({0})"}
    if name in ("log", "sin", "cos", "tanh"):
        return rf"\{name}({inner(args[0])})"
    if name not in shapes:
        raise ValueError(f"no function of a formula: {name}")
    return shapes[name].format(*(inner(x) for x in args))
