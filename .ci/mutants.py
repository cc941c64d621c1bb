"""Which mutants there are: the small changes of the library that mutation.py tries.

cosmic-ray finds the places and makes the change. Left out is what is no behaviour: annotations
(never evaluated, under `from __future__ import annotations`), imports that only they need, a star
among parameters (taken for a product), and the texts of errors, with what is computed for them.
"""

from __future__ import annotations

import ast
import dataclasses
import fnmatch
import hashlib
import re
from collections import Counter
from functools import cache
from pathlib import Path

import tomllib
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SETTINGS = tomllib.loads((HERE / "mutation.toml").read_text(encoding="utf-8"))
EQUIVALENTS = tomllib.loads((HERE / "mutation-equivalents.toml").read_text(encoding="utf-8"))
OPERATORS = [name for name in operator_names()
             if re.fullmatch("|".join(SETTINGS["operators"]), name.removeprefix("core/"))]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """The occurrence-th place of a module where an operator of cosmic-ray changes something."""

    module: str                       # its path below the tree's root
    operator: str
    occurrence: int
    number: int                       # of the line, in the unchanged file, from 1

    @property
    def line(self) -> str:
        """The line that is changed, without its indentation."""
        return _lines(self.module)[self.number - 1].strip()

    @property
    def text(self) -> str:
        """The module's text with the change in it."""
        return _mutated(self.module, self.operator, self.occurrence)

    @property
    def becomes(self) -> str:
        """What stands in place of the line; "" where it is removed."""
        old, new = _lines(self.module), self.text.splitlines()
        more = len(new) - len(old)
        return "\n".join(new[self.number - 1:self.number + more]).strip()


@cache
def source(module: str) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


@cache
def _lines(module: str) -> list[str]:
    return source(module).splitlines()


@cache
def _mutated(module: str, operator: str, occurrence: int) -> str:
    return mutate_code(source(module), get_operator(operator)(), occurrence)


def _left_out(text: str) -> list[tuple[str, tuple[int, int], tuple[int, int]]]:
    """What is no behaviour, or only words: its kind, where it begins, where it ends."""
    lines, found = text.splitlines(), []

    def add(kind: str, node: ast.AST) -> None:
        ends = ((node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset))
        found.append((kind, *((line, len(lines[line - 1].encode()[:byte].decode()))
                              for line, byte in ends)))

    for node in ast.walk(ast.parse(text)):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if annotation is not None:
                add("annotation", annotation)
        if isinstance(node, ast.Raise):
            add("text of an error", node)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            add("import for annotations", node)
    return found


def mutants(module: str) -> tuple[list[Mutant], Counter]:
    """The mutants of a module, and how many were left out, by kind."""
    text, found, skipped = source(module), [], Counter()
    nodes, outside = list(ast_nodes(get_ast(text))), _left_out(text)
    for name in OPERATORS:
        operator = get_operator(name)()
        places = [(start, node) for node in nodes for start, _ in operator.mutation_positions(node)]
        for occurrence, (place, node) in enumerate(places):
            kinds = [kind for kind, start, end in outside if start <= place < end]
            if node.parent is not None and node.parent.type == "parameters":
                kinds.append("star among parameters")        # f(x, *, y): no operator
            if kinds:
                skipped[kinds[0]] += 1
            else:
                found.append(Mutant(module, name, occurrence, place[0]))
    return found, skipped


def modules(part: str) -> list[str]:
    """The modules of a part of mutation.toml."""
    return sorted({path.relative_to(ROOT).as_posix() for glob in SETTINGS["parts"][part]
                   for path in ROOT.glob(glob)} - set(SETTINGS["without"]))


def sample(every: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """`size` of the mutants, chosen by a hash of the line and the change: where the tree changes
    elsewhere, the sample stays."""
    same, order = Counter(), {}
    for mutant in every:
        place = (seed, mutant.module, mutant.operator, mutant.line)
        same[place] += 1
        order[mutant] = hashlib.sha256(repr((place, same[place])).encode()).digest()
    chosen = set(sorted(every, key=order.get)[:size])
    return [mutant for mutant in every if mutant in chosen]


def explained(mutant: Mutant) -> dict | None:
    """The entry of mutation-equivalents.toml that says why a mutant changes nothing."""
    for entry in EQUIVALENTS["equivalent"]:
        if (entry["module"] == mutant.module and entry["line"] == mutant.line
                and fnmatch.fnmatchcase(mutant.operator, f"core/{entry['operator']}")
                and ("becomes" not in entry or mutant.becomes == entry["becomes"])):
            return entry
    return None
