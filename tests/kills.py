"""Training runs killed at random and at chosen moments; each must come to the same numbers.

    python tests/kills.py --kills 200 --seed 1

A child process trains a few digits by the real command line and is killed: after a random time, or
in the middle of a chosen operation (the n-th file synced, renamed, opened to write, the n-th line
of the log, the n-th step). Then the run is gone on with by --resume, or started again by the same
command, perhaps killed again, until it is done; weights, log and film are compared, byte for byte,
with those of a run that nobody killed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODELS = {"cnn": [], "gan": [], "vae": ["--latent", "2"]}
AIMS = ("sync", "rename", "open", "line", "step", "half", "lock")
COMPARED = ("checkpoint.safetensors", "log.jsonl", "config.json", "samples.npy")


# --------------------------------------------------------------------------- in the child
def child(aim: str, number: int, every_step: bool, pictures: bool, arguments: list[str]) -> int:
    """Train, and die in the middle of operation `number` of the kind `aim`."""
    import builtins

    from minidl import cli, plots
    from minidl.training import Run, Trainer, loop, report

    left = number

    def counted() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function):
        def call(*args, **options):
            counted()
            return function(*args, **options)
        return call

    opened = builtins.open

    def open_to_write(file, mode="r", *args, **options):
        made = opened(file, mode, *args, **options)
        if set(mode) & set("wxa"):
            counted()                             # the file is there, and empty
        return made

    def half_a_line(run, kind, **values):
        if left == 1:
            with opened(run.log_file, "ab") as file:
                file.write(b'{"kind": "ste')
        counted()
        return log(run, kind, **values)

    log, step = Run.log, Trainer._save_if_due
    if aim == "sync":
        os.fsync = before(os.fsync)
    elif aim == "rename":
        os.replace = before(os.replace)
    elif aim == "open":
        builtins.open = open_to_write
    elif aim in ("line", "half"):
        Run.log = before(log) if aim == "line" else half_a_line
    elif aim == "step":
        Trainer._save_if_due = before(step)
    elif aim == "lock":
        loop.Run._hold = before(Run._hold)
    if every_step:
        start = Trainer.__init__
        Trainer.__init__ = lambda *args, **options: start(*args, save_every=0.0, **options)
    samples = report.generated_images
    report.generated_images = lambda job, n, *more: samples(job, 4, *more)  # 64 take a second
    if not pictures:
        plots.matplotlib_problem = lambda: "no pictures here"
    return cli.main(arguments)


# --------------------------------------------------------------------------- the hunt
class Hunt:
    """Kills in runs of three models, below `folder`; ``outcomes`` counts what came after them."""

    def __init__(self, folder: Path, digits: Path, seed: int) -> None:
        self.folder, self.digits, self.random = folder, digits, random.Random(seed)
        self.whole: dict[tuple, dict[str, bytes]] = {}
        self.seconds: dict[str, float] = {}
        self.outcomes: dict[str, int] = {}
        self.plan: list[tuple[str, int]] = []        # the next aims, before random ones

    def command(self, model: str, run: Path) -> list[str]:
        return ["train", model, *MODELS[model], "--data", str(self.digits), "--epochs", "2",
                "--batch-size", "4", "--out", str(run)]

    def start(self, arguments: list[str], aim: str = "none", number: int = 0,
              every_step: bool = False, pictures: bool = False) -> subprocess.Popen:
        code = (f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parent)]!r}\n"
                f"import kills; sys.exit(kills.child({aim!r}, {number}, {every_step}, {pictures}, "
                f"{arguments!r}))")
        return subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
                 "MINIDL_KERNELS": "reference"})

    def finished(self, process: subprocess.Popen) -> tuple[int, str]:
        out, err = process.communicate(timeout=300)
        return process.returncode, out + err

    def expected(self, model: str, every_step: bool) -> dict[str, bytes]:
        """The files of a run that nobody killed, to be equal however often it saves."""
        if (model, every_step) not in self.whole:
            run, began = self.folder / f"whole-{model}-{every_step}", time.monotonic()
            status, text = self.finished(self.start(self.command(model, run),
                                                    every_step=every_step))
            assert status == 0, text
            self.seconds[model] = time.monotonic() - began
            self.whole[model, every_step] = contents(run)
        return self.whole[model, every_step]

    def kill(self, model: str, number: int) -> str:
        """One run, killed once or more, and brought to its end; what became of it, in words."""
        every_step, pictures = self.random.random() < 0.5, self.random.random() < 0.1
        expected = self.expected(model, every_step)
        run, killed, how = self.folder / f"run-{number}", 0, []
        arguments, words = self.command(model, run), "never killed"
        while True:
            aim = self.random.choice(("time", *AIMS)) if killed < 1 + (number % 3 == 0) else "none"
            count = self.random.choice((1, 1, 2, 3, self.random.randint(1, 30)))
            if self.plan:
                aim, count = self.plan.pop(0)
            process = self.start(arguments, aim, count, every_step, pictures)
            if aim == "time":
                time.sleep(self.random.uniform(0.2, 1.3 * self.seconds[model]))
                process.kill()
            status, text = self.finished(process)
            how.append(f"{aim} {count} -> {status}")
            if status == 0:
                break
            assert status == -signal.SIGKILL, f"{how}, exit status {status}:\n{text}"
            killed += 1
            if (run / "checkpoint.safetensors").exists():
                arguments, words = ["train", "--resume", str(run)], "gone on with"
            elif self.random.random() < 0.5 and (run / "config.json").exists():
                arguments, words = ["train", "--resume", str(run)], "begun by --resume"
            else:
                words = "started again"
        found = contents(run)
        assert found == expected, f"{model} after {how}: " + ", ".join(
            name for name in expected if found.get(name) != expected[name])
        names = {path.name for path in run.iterdir()}
        assert not [name for name in names if name.endswith(".tmp") or name == "lock"], names
        if pictures:
            wanted = {"cnn": "confusion.png", "gan": "samples.gif", "vae": "plane.png"}[model]
            assert {wanted, "curves.png"} <= names, names
        shutil.rmtree(run)
        return words if killed else "never killed"

    def run(self, kills: int, told: bool = False) -> dict[str, int]:
        """`kills` runs that were killed, by turns of the three models."""
        number = 0
        while sum(n for words, n in self.outcomes.items() if words != "never killed") < kills:
            model = list(MODELS)[number % len(MODELS)]
            words = self.kill(model, number)
            self.outcomes[words] = self.outcomes.get(words, 0) + 1
            number += 1
            if told and number % 10 == 0:
                print(number, self.outcomes, flush=True)
        return self.outcomes


def contents(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in COMPARED if (run / name).exists()}


def few_digits(folder: Path) -> Path:
    """A folder of IDX files: 12 digits to train on, 4 to test on."""
    import gzip

    import numpy as np

    from minidl import data
    mnist = data.mnist()
    for part, split, n in (("train", mnist.train, 12), ("t10k", mnist.test, 4)):
        arrays = {"images-idx3": split.images[:n, 0], "labels-idx1": split.labels[:n]}
        for name, array in arrays.items():
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content, 1))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        digits = Path(folder) / "digits"
        digits.mkdir()
        hunt = Hunt(Path(folder), few_digits(digits), args.seed)
        print(hunt.run(args.kills, told=True))


if __name__ == "__main__":
    main()
