"""Tests of the ledger: every row names its proof, and every formula's proof fails once the formula
is broken (ledger_breaks.py)."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_breaks import BREAKS

ROOT = Path(__file__).resolve().parent.parent


def load_ledger():
    spec = importlib.util.spec_from_file_location("ledger", ROOT / ".ci" / "ledger.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["ledger"] = module                    # NamedTuple looks its module up
    spec.loader.exec_module(module)
    return module


ledger = load_ledger()
KINDS, CELLS = ledger.rows(), ledger.proof_cells()


def test_every_row_has_code_and_a_proof_that_says_so():
    found, problems = ledger.survey(KINDS)
    assert problems == []
    assert all(found[row][need] for row, kind in KINDS.items() for need in ledger.NEEDS[kind])


@pytest.mark.parametrize("row, cell, message", [
    ("D2-RELU", "[`test_ops.py`](../tests/test_ops.py)", "names no test function"),
    ("D2-RELU", "–", "names no test function"),
    ("D2-RELU", "[`test_none`](../tests/test_ops.py)", "has no test test_none"),
    ("D2-RELU", "[`test_none`](../tests/test_none.py)", "has no test test_none"),
    ("D2-RELU", "[`test_dropout`](../tests/test_ops.py)", "does not say that it is a proof"),
    ("D3-ATT", "[`test_multi_head_attention`](../tests/test_ops_losses.py)", "does not say")])
def test_a_cell_that_proves_nothing_is_found(row, cell, message):
    """A whole file, a test that there is not, a test of another row."""
    _, (problem,) = ledger.proofs(row, cell)
    assert message in problem


def test_every_formula_is_broken_somewhere():
    broken = {b.row for b in BREAKS}
    assert {row for row, kind in KINDS.items() if kind == "formula"} <= broken <= set(KINDS)
    assert len({(b.file, b.old, b.new) for b in BREAKS}) == len(BREAKS)


@pytest.mark.parametrize("change", BREAKS, ids=lambda b: f"{b.row}-{b.new[:30]}")
def test_every_break_changes_the_engine_at_one_place(change):
    """Not in formulas.py, which is the ground truth; and the text stands there once."""
    assert change.file != "formulas.py"
    text = (ROOT / "minidl" / change.file).read_text(encoding="utf-8")
    assert text.count(change.old) == 1 and change.old != change.new
    compile(text.replace(change.old, change.new), change.file, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("change", BREAKS, ids=lambda b: f"{b.row}-{b.new[:30]}")
def test_the_proof_falls_with_its_formula(change, tmp_path):
    """In a copy of the package with that one change, on the readable arithmetic: a test that the
    ledger names for the row fails by an assertion, not by an error of the broken program."""
    shutil.copytree(ROOT / "minidl", tmp_path / "minidl",
                    ignore=shutil.ignore_patterns("__pycache__", "files"))
    shutil.copytree(ROOT / "tests", tmp_path / "tests",
                    ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    file = tmp_path / "minidl" / change.file
    text = file.read_text(encoding="utf-8").replace(change.old, change.new)
    file.write_text(text, encoding="utf-8", newline="\n")
    proofs, _ = ledger.proofs(change.row, CELLS[change.row])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=short",
         "--hypothesis-profile=first", *(f"{p.path}::{p.name}" for p in proofs)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "MINIDL_KERNELS": "reference", "PYTHONPATH": str(tmp_path),
             "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 1, done.stdout + done.stderr       # 1: tests ran, and one failed
    assert re.search(r"^E +(AssertionError|assert |.*GradientError)", done.stdout, re.MULTILINE), (
        done.stdout)
