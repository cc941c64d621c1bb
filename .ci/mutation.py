"""Change the library in one small place, run the tests that concern it, and see whether one fails.

    python .ci/mutation.py steps                          every mutant of a part of mutation.toml
    python .ci/mutation.py all --sample 400 --seed 1      so many of them, drawn by a seed
    python .ci/mutation.py optim --sample 0               only how many there are

A mutant that no test notices has survived: a test is missing, or the change is none. If it is none,
mutation-equivalents.toml says why; the mutants listed there run too, and fail this if a test
notices one. All run in a copy of the tree, one at a time, each in a process forked from this one,
which has imported pytest and NumPy already. What came out is kept in --work: a later call runs only
new mutants, and those survivors whose tests have changed since.

Needs cosmic-ray and the packages of `pip install .[test]`, Python 3.11, Linux or macOS.
"""

from __future__ import annotations

import argparse
import compileall
import difflib
import fnmatch
import hashlib
import json
import os
import resource
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from py_compile import PycInvalidationMode

import hypothesis  # noqa: F401 (here once, before the forks)
import numpy as np  # noqa: F401
import pytest
from mutants import EQUIVALENTS, ROOT, SETTINGS, Mutant, explained, modules, mutants, sample, source

MEMORY = 8 * 2**30                    # bytes of arrays that a mutant may have: some ask for many
OUTCOMES = ("killed", "timed out", "incompetent", "equivalent", "survived", "wrongly listed")


def tests_of(module: str) -> dict:
    """How a module is tested: the first entry of mutation.toml that names it."""
    return next(entry for entry in SETTINGS["tests"]
                if any(fnmatch.fnmatchcase(module, glob) for glob in entry["modules"]))


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]


def digest_of(tests: dict) -> str:
    """Another one when a file of these tests has changed."""
    files = {word.partition("::")[0] for word in tests["run"].split() if ".py" in word}
    return digest(str(tests), *map(source, sorted(files)))


def copied(work: Path) -> Path:
    """A fresh copy of the tree. Its bytecode is checked by content, so that no mutant runs from
    the bytecode of another."""
    tree = work / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(
        ".git", ".hypothesis", ".*_cache", "__pycache__", "*.egg-info", "build", "runs"))
    compileall.compile_dir(tree / "minidl", quiet=1,
                           invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return tree


def run(tests: dict, tree: Path, limit: float) -> tuple[int | None, float]:
    """Run pytest in `tree`: its status, 0 if all pass, None after `limit` seconds; the seconds."""
    begun, child = time.monotonic(), os.fork()
    if child == 0:
        status = 1
        try:
            os.setsid()
            os.chdir(tree)
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            os.environ.update(tests.get("environment", {}), PYTHONPATH=str(tree))
            sys.path[0] = str(tree)
            log = os.open(tree.parent / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            status = pytest.main([
                *shlex.split(tests["run"]), "-xq", "--tb=short", "-p", "no:cacheprovider",
                "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning",
                "--hypothesis-profile=first", f"--basetemp={tree.parent / 'tmp'}"])
        finally:
            sys.stdout.flush()
            os._exit(int(status))
    done = 0
    while not done and time.monotonic() - begun < limit:
        time.sleep(0.02)
        done, status = os.waitpid(child, os.WNOHANG)
    try:
        os.killpg(child, signal.SIGKILL)                 # and whatever the tests left running
    except ProcessLookupError:
        pass
    if not done:
        os.waitpid(child, 0)
    return status if done else None, time.monotonic() - begun


def tried(mutant: Mutant, tree: Path, limit: float) -> str:
    """killed, timed out, incompetent (it is no Python) or survived."""
    path = tree / mutant.module
    try:
        compile(mutant.text, mutant.module, "exec")
    except SyntaxError:
        return "incompetent"
    path.write_text(mutant.text, encoding="utf-8")
    try:
        status, _ = run(tests_of(mutant.module), tree, limit)
        return {None: "timed out", 0: "survived"}.get(status, "killed")
    finally:
        path.write_text(source(mutant.module), encoding="utf-8")


def walk(chosen: list[Mutant], work: Path) -> dict[Mutant, str]:
    """What comes of each mutant, taken from `work` where it is known."""
    work.mkdir(parents=True, exist_ok=True)
    results, tree, limits, found = work / "results.jsonl", copied(work), {}, {}
    lines = results.read_text(encoding="utf-8").splitlines() if results.exists() else []
    known = {row["mutant"]: row for row in map(json.loads, lines)}
    for count, mutant in enumerate(chosen, 1):
        tests = tests_of(mutant.module)
        key, by = digest(mutant.module, mutant.text), digest_of(tests)
        row = known.get(key, {"outcome": "survived"})
        if row["outcome"] == "survived" and row.get("tests") != by:
            if by not in limits:                         # first the tests of the tree as it is
                status, seconds = run(tests, tree, 1800)
                if status != 0:
                    sys.exit(f"without a mutant, {tests['run']} fails: {work / 'log'}")
                limits[by] = 20 + 5 * seconds
            begun = time.monotonic()
            row = {"mutant": key, "tests": by, "outcome": tried(mutant, tree, limits[by]),
                   "where": f"{mutant.module}:{mutant.number} {mutant.operator}",
                   "seconds": round(time.monotonic() - begun, 1)}
            with results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{count}/{len(chosen)} {row['outcome']:11} {row['seconds']:6} {row['where']}",
                  file=sys.stderr, flush=True)
        found[mutant] = row["outcome"] if not explained(mutant) else (
            "equivalent" if row["outcome"] == "survived" else "wrongly listed")
    return found


def table(found: dict[Mutant, str]) -> str:
    """Outcomes by module, and the share of killed ones among those that change something."""
    names = sorted({mutant.module for mutant in found})
    rows = [(name, Counter(outcome for mutant, outcome in found.items() if mutant.module == name))
            for name in names] + [("all", Counter(found.values()))]
    lines = [f"{'':38}{'mutants':>9}" + "".join(f"{name:>15}" for name in OUTCOMES) + "   share"]
    for name, counts in rows:
        caught = counts["killed"] + counts["timed out"]
        changing = caught + counts["survived"] + counts["wrongly listed"]
        lines.append(f"{name:38}{counts.total():9}" + "".join(
            f"{counts[outcome]:15}" for outcome in OUTCOMES) + f"{caught / max(changing, 1):8.1%}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=SETTINGS["parts"])
    parser.add_argument("--sample", type=int, help="so many mutants, drawn (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir(), "minidl-mutation"),
                        help="folder of the copy and of the results")
    options = parser.parse_args()
    names, every, skipped = modules(options.part), [], Counter()
    for here, outside in map(mutants, names):
        every += here
        skipped += outside
    used = [explained(mutant) for mutant in every]
    stale = [entry for entry in EQUIVALENTS["equivalent"] if entry not in used
             and (entry["module"] in names or not (ROOT / entry["module"]).exists())]
    chosen = every if options.sample is None else sample(every, options.sample, options.seed)
    print(f"{len(every)} mutants in {len(names)} modules, {len(chosen)} chosen; left out: "
          + ", ".join(f"{count} {kind}" for kind, count in skipped.items()))
    found = walk(chosen, options.work)
    print(table(found))
    unexplained = [m for m, outcome in found.items() if outcome in ("survived", "wrongly listed")]
    for mutant in unexplained:
        diff = difflib.unified_diff(source(mutant.module).splitlines(), mutant.text.splitlines(),
                                    n=1, lineterm="")
        print(f"\n{found[mutant]}: {mutant.module}:{mutant.number} {mutant.operator}",
              *list(diff)[3:], sep="\n")
    for entry in stale:
        print(f"\nno mutant is meant by this entry of mutation-equivalents.toml: {entry}")
    return 1 if unexplained or stale else 0


if __name__ == "__main__":
    sys.exit(main())
