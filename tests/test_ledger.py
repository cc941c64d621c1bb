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
from ledger_breaks import BREAKS, Break

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


def fallen(change: Break, proofs, folder: Path) -> set[str]:
    """The tests among `proofs` that fail by an assertion, not by an error of the broken program, in
    a copy of the package with that one change, on the readable arithmetic."""
    shutil.copytree(ROOT / "minidl", folder / "minidl",
                    ignore=shutil.ignore_patterns("__pycache__", "*.xz"))
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", folder)
    file = folder / "minidl" / change.file
    text = file.read_text(encoding="utf-8").replace(change.old, change.new)
    file.write_text(text, encoding="utf-8", newline="\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no",
         "--hypothesis-profile=first", *(f"{p.path}::{p.name}" for p in proofs)],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "MINIDL_KERNELS": "reference", "PYTHONPATH": str(folder),
             "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "400"})
    assert done.returncode in (0, 1), done.stdout + done.stderr        # 1: a test failed
    return set(re.findall(r"^FAILED \S+::(\w+)\S* - (?:assert|AssertionError|.*GradientError)",
                          done.stdout, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.parametrize("row", dict.fromkeys(b.row for b in BREAKS))
def test_the_proofs_fall_with_the_row(row, tmp_path):
    """Each break of a row makes one of its proofs fail; and each proof of a formula fails for one
    of the formula's breaks."""
    proofs, _ = ledger.proofs(row, CELLS[row])
    all_fallen: set[str] = set()
    for i, change in enumerate(b for b in BREAKS if b.row == row):
        found = fallen(change, proofs, tmp_path / str(i))
        assert found, f"nobody misses {change}"
        all_fallen |= found
    if KINDS[row] == "formula":
        assert all_fallen == {p.name for p in proofs}
