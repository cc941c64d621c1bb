"""The two tiers: what a training enters is read first; what it does not enter stands in more/."""

from __future__ import annotations

import cProfile
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "minidl"
SYSTEMS = "cnn", "gan", "vae"

_spec = importlib.util.spec_from_file_location("lines", ROOT / ".ci" / "lines.py")
lines = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(lines)


def entered_files(folder: str) -> list[str]:
    """The files of minidl whose functions the three trainings call: epochs, tests, checkpoints,
    pictures. For a process in which minidl has not been imported."""
    from minidl import cli

    found = set()
    for name in SYSTEMS:
        counter = cProfile.Profile(builtins=False)
        command = ["train", name, "--quick", "--epochs", "1", "--out", f"{folder}/{name}"]
        counter.runcall(cli.main, command)
        found |= {entry.code.co_filename for entry in counter.getstats()
                  if not isinstance(entry.code, str) and entry.code.co_name != "<module>"}
    return sorted(Path(file).relative_to(PACKAGE).as_posix() for file in found
                  if file.startswith(str(PACKAGE) + os.sep))


@pytest.mark.parametrize("kernels", ["fast", pytest.param("reference", marks=pytest.mark.slow)])
def test_what_a_training_enters_has_its_place(kernels, tmp_path):
    """Every file is of the first reading, a step procedure, a kernel, data, run-keeping or a check;
    and the first reading has no file that no training enters."""
    command = [sys.executable, __file__, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MINIDL_KERNELS": kernels}
    environment.pop("MINIDL_KEEP", None)
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    files = json.loads(done.stdout.splitlines()[-1])
    astray = [file for file in files if not lines.place(file)]
    assert not astray, f"entered by a training, and in no part of .ci/lines.py: {astray}"
    unread = [file for file in lines.reading() if file not in files]
    assert kernels == "fast" or not unread, f"read first, and entered by no training: {unread}"


def test_every_file_listed_is_there():
    listed = [*lines.reading(), *lines.HOUR, *lines.PROCEDURES]
    assert [file for file in listed if not (PACKAGE / file).is_file()] == []
    assert len(set(lines.reading())) == len(lines.reading())
    assert set(lines.HOUR) <= set(lines.reading())


def test_the_first_reading_keeps_its_bounds():
    assert lines.problems() == []


@pytest.mark.parametrize("page", ["README.md", "docs/layout.md"])
def test_the_documents_say_how_much_there_is(page):
    """To within a fiftieth for what is read first, and a twentieth for the rest."""
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    first, rest = (int(number.replace(",", "")) for number in re.findall(
        r"about ([\d,]+) lines", text)[:2])
    totals = lines.totals()
    everything = sum(map(lines.count, lines.files(".")))
    assert abs(first / totals["first reading"] - 1) < 1 / 50
    read = totals["first reading"] + totals["steps and loop"]
    assert abs(rest / (everything - read) - 1) < 1 / 20


if __name__ == "__main__":
    print(json.dumps(entered_files(sys.argv[1])))
