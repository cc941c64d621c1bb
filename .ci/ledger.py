"""Check that every ledger id has a docs line, code and a test; keep the links between them true.

    python .ci/ledger.py            one summary line; fails with a list of what lacks what
    python .ci/ledger.py --table    also where each id was found
    python .ci/ledger.py --write    put the links found into docs/ledger.md and docs/errata.md

Ids are read from the tables of docs/ledger.md (the heading above a table says what its rows
need) and from the headings of docs/errata.md. Code is every `Source:` line of a docstring and any
other string (`@op("D3-CONV")`, `source="D1-CNN"`) of minidl and examples; errata are also found in
comments.
A test is any mention in tests/. minidl/formulas.py is the ground truth: a formula must stand there
and in the engine, and the test of the ground truth alone is not the test of a row.
"""

from __future__ import annotations

import argparse
import ast
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
NEEDS = {"formula": ("ground truth", "code", "test"), "system": ("code", "test"),
         "erratum": ("code", "test"), "to come": ()}
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


def strings(tree: ast.Module) -> list[tuple[int, str]]:
    """(line, text) of the Source lines of docstrings and of every other string."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    owners = [n for n in ast.walk(tree) if isinstance(n, kinds) and ast.get_docstring(n)]
    docs = {id(n.body[0].value) for n in owners}
    found = []
    for node in ast.walk(tree):
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
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        lines = list(enumerate(text.splitlines(), 1))
        hits = [(n, i) for n, t in (lines if folder == "tests" else strings(tree))
                for i in ID.findall(t)]
        hits += [(n, i) for n, t in lines for i in ID.findall(t) if i.startswith("E")]
        for line, row in hits:
            place = Place(path.relative_to(ROOT).as_posix(), enclosing(tree, line))
            if place not in found[row]:
                found[row].append(place)
    return found


def operations() -> set[str]:
    """Ids given to @op: the tests that walk the op table prove these without naming them."""
    found = set()
    for path in (ROOT / "minidl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "op":
                found.update(ID.findall(ast.unparse(node)))
    return found


def table_tests() -> list[Place]:
    """The test files that walk the op table."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    walking = [p for p in files if re.search(r"\bOPS\b", p.read_text(encoding="utf-8"))]
    return [Place(p.relative_to(ROOT).as_posix(), "") for p in walking]


def survey(kinds: dict[str, str]) -> dict[str, dict[str, list[Place]]]:
    """For every id of the docs, the places of its ground truth, code and tests."""
    code, tests, ops, walking = places("minidl"), places("tests"), operations(), table_tests()
    for row, scripts in places("examples").items():
        code[row] += scripts

    def rank(place: Place) -> tuple[int, bool]:
        part = place.path.split("/")[1].removesuffix(".py")
        return ORDER.index(part) if part in ORDER else len(ORDER), not place.name

    found = {}
    for row, kind in kinds.items():
        truth = [p for p in code[row] if p.path == "minidl/formulas.py"]
        engine = sorted((p for p in code[row] if p not in truth), key=rank)
        proofs = [p for p in tests[row] if p.path != "tests/test_formulas.py"]
        if kind == "erratum":  # some are errors of a formula: its ground truth is their code
            engine, proofs, truth = engine + truth, tests[row], []
        proofs = proofs or (walking if row in ops else [])
        found[row] = {"ground truth": truth, "code": engine, "test": proofs}
    unknown = sorted((set(code) | set(tests)) - set(kinds))
    for row in unknown:
        found[row] = {"code": code[row], "test": tests[row]}
    return found


def cell(old: str, *found: list[Place]) -> str:
    """`old` while its links are alive, else new ones; an empty `old` always gives new ones."""
    alive = [p.link() for part in found for p in part]
    kept = re.findall(r"\[[^]]*\]\([^)]*\)", old)
    if kept and set(kept) <= set(alive):
        return old
    return ", ".join(p.link() for part in found for p in part[:SHOWN]) or "–"


def relinked(text: str, kinds: dict[str, str], found: dict, anew: bool) -> str:
    """A docs page with rows of dead or missing links (every row if `anew`) linked as in `found`."""
    lines, current = text.split("\n"), ""
    for n, line in enumerate(lines):
        if line.startswith("### "):
            current = next(iter(ID.findall(line)), "")
        row = next(iter(ID.findall(line.split("|")[1])), "") if line.startswith("| `") else ""
        if kinds.get(row) in ("formula", "system") and line.count(" | ") == 4:
            head, code, test = line.removesuffix(" |").rsplit(" | ", 2)
            start, middle, end = head + " | ", " | ", " |"
        elif current and (match := re.fullmatch(r"Code: (.*)\. Test: (.*)\.", line)):
            row, (code, test) = current, match.groups()
            start, middle, end = "Code: ", ". Test: ", "."
        else:
            continue
        where = found[row]
        code = cell("" if anew else code, where["ground truth"], where["code"])
        test = cell("" if anew else test, where["test"])
        lines[n] = start + code + middle + test + end
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--table", action="store_true", help="print where each id was found")
    parser.add_argument("--write", action="store_true", help="write the links into the docs pages")
    options = parser.parse_args()
    kinds = rows()
    found = survey(kinds)
    problems = [f"{row}: no docs line, but stands in {where[0].path}" for row in found
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
