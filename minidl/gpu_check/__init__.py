"""``minidl gpu-check``: everything that can be asked of a GPU, in one command of a few minutes.

Nothing but NumPy and CuPy is needed; PyTorch is timed beside minidl where it is installed. Each
part runs in a process of its own: what ends there, and be it the process, is recorded, and the
others go on. docs/gpu.md tells how to read the table and what the JSON holds.

values     ops and kernels: their numbers against NumPy's in float64     cases   on what arguments
learning   whole training steps, on both devices; accuracy               clock   host and step times
peer       the same networks in PyTorch                                  graphs  CUDA graphs
machine    versions                                                      report  entries and tables
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..device import resolve
from ..files.saving import write_atomically
from .results import Part, as_text, part_summary, read_entries

__all__ = ["Part", "Plan", "Sizes", "as_text", "check_gpu", "part_summary", "read_entries",
           "run_part"]

DEVICE = "cuda"
LATENT = 20                  # of the VAE
SECONDS = 470                # what all parts together may take


@dataclass(frozen=True)
class Sizes:
    """How much of everything: these are the full check's."""

    batch: int = 64                          # of the kernels' arguments and of compared steps
    steps: int = 200                         # of cnn, compared with the CPU's ...
    cpu_seconds: float = 90.0                # ... as far as the CPU comes in this time
    calls: int = 200                         # of each kind, in a block that is timed
    blocks: int = 15
    timed: tuple[tuple[str, int], ...] = (   # networks and batches
        ("cnn", 64), ("cnn", 256), ("cnn", 1024), ("gan", 64), ("vae", 64))
    warm: int = 3                            # steps before any is timed
    rounds: int = 7
    turn: float = 0.3                        # seconds that a contestant works in a round
    epochs: int = 2                          # of `train cnn`


FULL = Sizes()
QUICK = Sizes(batch=2, steps=3, calls=20, blocks=3, timed=(("cnn", 8), ("vae", 2)), warm=1,
              rounds=1, turn=0.01, epochs=0)


@dataclass(frozen=True)
class Plan:
    """A part: `function` names what runs it, "file.function" of this package."""

    title: str
    function: str
    limit: float                             # seconds
    tf32: bool = False                       # CUPY_TF32, which CuPy reads once in a process


PARTS = {
    "versions": Plan("what is installed, and on what", "machine.versions", 60),
    "ops": Plan("every op against NumPy in float64: largest error / largest entry, of values and "
                "gradients", "values.check_ops", 180),
    "kernels": Plan("every CUDA kernel against what it replaces, and against itself",
                    "values.check_kernels", 90),
    "training": Plan("the same steps on both devices: largest relative difference",
                     "learning.check_training", 170),
    "calls": Plan("host microseconds a call", "clock.calls", 40),
    "steps": Plan("milliseconds a training step; PyTorch eager beside it; TF32 off", "clock.steps",
                  100),
    "steps-tf32": Plan("the same; TF32 on", "clock.steps", 100, tf32=True),
    "graphs": Plan("what a CUDA graph can hold", "cuda_graphs.questions", 40),
    "accuracy": Plan("train cnn", "learning.check_accuracy", 100),
}


def check_gpu(only: list[str] | None = None, quick: bool = False,
              out: str | Path = "gpu-check.json", apart: bool = True) -> bool:
    """Run the parts (those named in `only`), print progress and tables, write `out` as JSON after
    each part; did everything pass?

    `quick`: few and small arrays, for seeing that it works. `apart`: each part in a process of its
    own. Raises ValueError for a part that there is not, RuntimeError where CUDA cannot be used.
    """
    names = list(dict.fromkeys(only or PARTS))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise ValueError(f"gpu-check: there is no part {unknown[0]!r}; there are "
                         f"{', '.join(PARTS)}")
    resolve(DEVICE)                          # raises, with the reason, where there is no GPU
    began = time.monotonic()
    result: dict[str, Any] = {"minidl": __version__, "made": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
                              "quick": quick, "passed": False, "seconds": 0.0, "parts": []}
    _write_result(out, result)               # at once: a folder that is not there shows now
    for name in names:
        print(f"{name}: {PARTS[name].title} ...", flush=True)
        left = SECONDS - (time.monotonic() - began)
        part = _part(name, quick, left, apart)
        print(f"{name}: {part_summary(part)}", flush=True)
        result["parts"].append(part)
        result["seconds"] = round(time.monotonic() - began, 1)
        result["passed"] = (len(result["parts"]) == len(names)
                            and all(p["status"] == "passed" for p in result["parts"]))
        _write_result(out, result)
    print(f"\n{as_text(result)}\n\n{result['seconds']:.0f} s; all of it: {out}")
    return result["passed"]


def _write_result(out: str | Path, result: dict[str, Any]) -> None:
    write_atomically(Path(out), (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())


def _part(name: str, quick: bool, left: float, apart: bool) -> dict[str, Any]:
    """Run a part as `apart` says; what it found, as it stands in the JSON."""
    plan, began = PARTS[name], time.monotonic()
    if left < 5:
        entries, why = [], f"not begun: the {SECONDS} s of all parts are over"
    elif apart:
        entries, why = _in_a_process(name, quick, min(plan.limit, left))
    else:
        entries, why = run_part(name, quick), ""
    failed = bool(why) or any(e["ok"] is False for e in entries)
    return {"part": name, "title": plan.title, "status": "failed" if failed else "passed",
            "why": why, "seconds": round(time.monotonic() - began, 1), "entries": entries}


def run_part(name: str, quick: bool, file: Path | None = None) -> list[dict]:
    """Run a part in this process: its entries, the last of them what broke it off, if anything."""
    part, plan = Part(name, file), PARTS[name]
    if plan.tf32 and os.environ.get("CUPY_TF32") != "1":
        part.unasked("CuPy", "TF32", "CuPy reads CUPY_TF32=1 in the beginning alone: this part "
                     "needs a process of its own")
        return part.entries
    module, function = plan.function.split(".")
    with part.attempt("the part", "went to its end"):
        run = getattr(importlib.import_module(f"{__package__}.{module}"), function)
        run(part, QUICK if quick else FULL)
    return part.entries


# A process begins with this line: it takes the minidl that runs here, from wherever it is called.
_BEGIN = ("import sys, pathlib; sys.path.insert(0, sys.argv[1]); from minidl import gpu_check; "
          "gpu_check.run_part(sys.argv[2], sys.argv[3] == 'quick', pathlib.Path(sys.argv[4]))")


def _command(name: str, file: Path, quick: bool) -> list[str]:
    root = str(Path(__file__).parent.parent.parent)
    return [sys.executable, "-c", _BEGIN, root, name, "quick" if quick else "full", str(file)]


def _in_a_process(name: str, quick: bool, limit: float) -> tuple[list[dict], str]:
    """The same in a fresh process, which is ended after `limit` seconds."""
    environment = {**os.environ, "CUPY_TF32": "1" if PARTS[name].tf32 else "0"}
    with tempfile.TemporaryDirectory() as folder:
        file, errors = Path(folder, "entries"), Path(folder, "errors")
        with open(errors, "w", encoding="utf-8") as stream:
            try:
                status = subprocess.run(_command(name, file, quick), env=environment, stderr=stream,
                                        timeout=limit).returncode
                why = "" if status == 0 else f"its process ended with status {status}"
            except subprocess.TimeoutExpired:
                why = f"stopped after {limit:.0f} s"
        entries = read_entries(file)
        if why:
            last = entries[-1]["name"] if entries else "nothing"
            said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-8:]
            why = "\n".join([f"{why}; the last entry is {last}", *said])
        return entries, why
