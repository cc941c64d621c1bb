"""Check that every ledger id has a docs line, code and a proof; keep the links to code true.

    python .ci/ledger.py            one summary line; fails with a list of what lacks what
    python .ci/ledger.py --table    also where each id was found
    python .ci/ledger.py --write    put the links to code into docs/ledger.md and docs/errata.md

Ids are read from the tables of docs/ledger.md (the heading above a table says what its rows
need) and from the headings of docs/errata.md. Code is every `Source:` line of a docstring and any
other string (`@op("D3-CONV")`, `source="D1-CNN"`) of minidl and examples; errata are also found in
comments. minidl/formulas.py is the ground truth: a formula must stand there and in the engine.
A proof is a test that the docs name, by hand, in the last column of the ledger or after "Test:" in
the errata: a function of a file in tests/ that fails if the row is wrong, and that says the id
itself or in its file's docstring. tests/test_ledger.py breaks each formula and sees its proof fail.
"""

from __future__ import annotations

import argparse
import ast
import functools
import re
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
LEDGER, ERRATA = ROOT / "docs" / "ledger.md", ROOT / "docs" / "errata.md"
ID = re.compile(r"\b(?:D[0-4]-[A-Z]+(?:-[A-Z]+)*|E[0-4]\.\d)(?![\w-])")
SOURCE = re.compile(r"Source:.*?(?=\n\s*\n|\Z)", re.DOTALL)
KINDS = {"Formulas": "formula", "Systems": "system", "Systems still to come": "to come"}
NEEDS = {"formula": ("ground truth", "code", "proof"), "system": ("code", "proof"),
         "erratum": ("code", "proof"), "to come": ()}
PROOF = re.compile(r"\[`(test_\w+)`\]\(\.\./(tests/\w+\.py)\)")
# Where a reader is sent first: the arithmetic, then what is made of it.
ORDER = ("ops", "functional", "nn", "optim", "metrics", "models", "training", "data", "plots")
SHOWN = 3  # links in a cell


class Place(NamedTuple):
    path: str
    name: str  # of the function or class; empty for a whole file

    def link(self) -> str:
        return f"[`{self.name or Path(self.path).name}`](../{self.path})"


def rows() -> dict[str, str]:
    """Every id of the docs and its kind; a formula that is also a system to come is a formula."""
    found: dict[str, str] = {}
    kind = ""
    for line in LEDGER.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = KINDS.get(line[3:].strip(), "")
        elif kind and line.startswith("| `"):
            for row in ID.findall(line.split("|")[1]):
                found.setdefault(row, kind)
    for line in ERRATA.read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            found.update(dict.fromkeys(ID.findall(line), "erratum"))
    return found


def enclosing(tree: ast.Module, line: int) -> str:
    """Qualified name of the innermost function or class around a line, decorators included."""
    name, body = [], tree.body
    while body:
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if start <= line <= node.end_lineno:
                    name.append(node.name)
                    body = node.body
                    break
        else:
            break
    return ".".join(name)


@functools.cache
def parsed(path: Path) -> tuple[str, ast.Module]:
    """The text of a Python file, and its tree."""
    text = path.read_text(encoding="utf-8")
    return text, ast.parse(text)


def strings(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, text) of the Source lines of docstrings and of every other string."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = [n for n in ast.walk(tree) if isinstance(n, (ast.Constant, *kinds))]
    owners = [n for n in nodes if isinstance(n, kinds) and ast.get_docstring(n, clean=False)]
    docs = {id(n.body[0].value) for n in owners}
    found = []
    for node in nodes:
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if id(node) not in docs:
            found.append((node.lineno, node.value))
        for match in SOURCE.finditer(node.value) if id(node) in docs else ():
            found.append((node.lineno + node.value[: match.start()].count("\n"), match.group()))
    return found


def places(folder: str) -> dict[str, list[Place]]:
    """Where each id stands in the Python files of minidl, examples or tests."""
    found: dict[str, list[Place]] = defaultdict(list)
    for path in sorted((ROOT / folder).rglob("*.py")):
        text, tree = parsed(path) if ID.search(path.read_text(encoding="utf-8")) else ("", None)
        lines = list(enumerate(text.splitlines(), 1))
        hits = [(n, i) for n, t in (lines if folder == "tests" or not lines else strings(tree))
                for i in ID.findall(t)]
        hits += [(n, i) for n, t in lines for i in ID.findall(t) if i.startswith("E")]
        for line, row in hits:
            place = Place(path.relative_to(ROOT).as_posix(), enclosing(tree, line))
            if place not in found[row]:
                found[row].append(place)
    return found


def proof_cells() -> dict[str, str]:
    """What the docs have in each row's place for tests; a few ids are a formula and a system."""
    found, current = defaultdict(str), ""
    for line in LEDGER.read_text(encoding="utf-8").splitlines():
        if line.startswith("| `"):
            cells = line.strip().removesuffix("|").split(" | ")
            for row in ID.findall(cells[0]):
                found[row] += cells[-1].strip() + ", "
    for line in ERRATA.read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            current = next(iter(ID.findall(line)), "")
        elif current and (match := re.fullmatch(r"Code: .*\. Test: (.*)\.", line)):
            found[current] = match[1]
    return found


def proofs(row: str, cell: str) -> tuple[list[Place], list[str]]:
    """The tests that a row's cell names, and what is wrong with them."""
    named, wrong = [*dict.fromkeys(Place(path, name) for name, path in PROOF.findall(cell))], []
    if rest := PROOF.sub("", cell).strip(" ,"):
        wrong.append(f"{row}: {rest!r} names no test function")
    for proof in named:
        file = ROOT / proof.path
        text, tree = parsed(file) if file.is_file() else ("", ast.parse(""))
        functions = [n for n in tree.body
                     if isinstance(n, ast.FunctionDef) and n.name == proof.name]
        if not functions:
            wrong.append(f"{row}: {proof.path} has no test {proof.name}")
            continue
        own = text.splitlines()[functions[0].lineno - 1:functions[0].end_lineno]
        said = [ast.get_docstring(tree) or "", *own]
        if row not in ID.findall("\n".join(said)):
            wrong.append(f"{row}: {proof.path}::{proof.name} does not say that it is a proof of it")
    return named, wrong


def survey(kinds: dict[str, str]) -> tuple[dict[str, dict[str, list[Place]]], list[str]]:
    """For every id of the docs, the places of its ground truth, code and proofs; and what is wrong
    with the proofs."""
    code, tests, cells, problems = places("minidl"), places("tests"), proof_cells(), []
    for row, scripts in places("examples").items():
        code[row] += scripts

    def rank(place: Place) -> tuple[int, bool]:
        part = place.path.split("/")[1].removesuffix(".py")
        return ORDER.index(part) if part in ORDER else len(ORDER), not place.name

    found = {}
    for row, kind in kinds.items():
        truth = [p for p in code[row] if p.path == "minidl/formulas.py"]
        engine = sorted((p for p in code[row] if p not in truth), key=rank)
        if kind == "erratum":  # some are errors of a formula: its ground truth is their code
            engine, truth = engine + truth, []
        named, wrong = proofs(row, cells.get(row, "")) if kind != "to come" else ([], [])
        found[row] = {"ground truth": truth, "code": engine, "proof": named}
        problems += wrong
    for row in sorted((set(code) | set(tests)) - set(kinds)):
        found[row] = {"code": code[row], "test": tests[row]}
    return found, problems


def cell(old: str, *found: list[Place]) -> str:
    """`old` while its links are alive, else new ones; an empty `old` always gives new ones."""
    alive = [p.link() for part in found for p in part]
    kept = re.findall(r"\[[^]]*\]\([^)]*\)", old)
    if kept and set(kept) <= set(alive):
        return old
    return ", ".join(p.link() for part in found for p in part[:SHOWN]) or "–"


def relinked(text: str, kinds: dict[str, str], found: dict, anew: bool) -> str:
    """A docs page with dead or missing links to code (all of them if `anew`) put as in `found`."""
    lines, current = text.split("\n"), ""
    for n, line in enumerate(lines):
        if line.startswith("### "):
            current = next(iter(ID.findall(line)), "")
        row = next(iter(ID.findall(line.split("|")[1])), "") if line.startswith("| `") else ""
        if kinds.get(row) in ("formula", "system") and line.count(" | ") == 4:
            head, code, test = line.rsplit(" | ", 2)
            start, end = head + " | ", " | " + test
        elif current and (match := re.fullmatch(r"Code: (.*)\. Test: (.*)\.", line)):
            row, (code, test) = current, match.groups()
            start, end = "Code: ", f". Test: {test}."
        else:
            continue
        where = found[row]
        code = cell("" if anew else code, where["ground truth"], where["code"])
        lines[n] = start + code + end
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true", help="print where each id was found")
    parser.add_argument("--write", action="store_true", help="write the links into the docs pages")
    options = parser.parse_args()
    kinds = rows()
    found, problems = survey(kinds)
    problems += [f"{row}: no docs line, but stands in {where[0].path}" for row in found
                 if row not in kinds for where in found[row].values() if where]
    problems += [f"{row} ({kind}): no {need}" for row, kind in kinds.items()
                 for need in NEEDS[kind] if not found[row][need]]
    for page in (LEDGER, ERRATA):
        text = page.read_text(encoding="utf-8")
        if options.write:
            page.write_text(relinked(text, kinds, found, True), encoding="utf-8", newline="\n")
        elif relinked(text, kinds, found, False) != text:
            problems.append(f"docs/{page.name}: dead or missing links; run .ci/ledger.py --write")
    for row in found if options.table else ():
        print(f"{row:14}", kinds.get(row, "?"))
        for what, where in found[row].items():
            print(f"    {what:13}", ", ".join(f"{p.path}:{p.name}" for p in where) or "-")
    counts = ", ".join(f"{list(kinds.values()).count(k)} {k}" for k in NEEDS)
    print(f"ledger: {counts}; " + (f"{len(problems)} problems" if problems else "complete"))
    for problem in problems:
        print("  " + problem, file=sys.stderr)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
