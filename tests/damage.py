"""Damaged run folders: each command ends with a line that says so, or gives the right numbers.

    python tests/damage.py --damages 500 --seed 1

Files of a run that was stopped in its second epoch (a classifier and a VAE) are damaged at random:
bytes flipped, cut, put in, taken out; values of JSON replaced, in config.json, in the log, in the
header of the checkpoint; and states replaced and saved anew, so that no checksum tells. Then
`evaluate`, `sample` and `train --resume` are tried. An exception that is no clear line, or a number
other than the right one without a note, fails.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kills import few_digits

from minidl import cli
from minidl.training import Trainer, checkpoint, report

FILES = ("checkpoint.safetensors", "config.json", "log.jsonl", "samples.npy", "lock")
ODD = (-5, -1, 0, 1, 3, 2**63, 2**70, 10**400, 1.5, True, None, "x", "", "7", [], [1], {}, {"a": 1},
       float("nan"), float("inf"), -1e308, "\x1b[31m", "/nowhere")


class Stop(Exception):
    pass


class Hunt:
    """Damages to copies of two stopped runs; ``outcomes`` counts what the commands did."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random, self.outcomes = folder, random.Random(seed), {}
        (folder / "digits").mkdir()
        few_digits(folder / "digits")
        self.runs = {model: self.stopped(model, *more)
                     for model, more in (("cnn", ()), ("vae", ("--latent", "2")))}
        self.right = {}
        for model in self.runs:
            status, _, self.right[model] = self.tried(self.copy(model), model)
            assert status == [0, 0 if model == "vae" else 2, 0], status

    def stopped(self, model: str, *more: str) -> Path:
        """A run of two epochs of six steps, stopped after step 3 of the second."""
        run, save, count = self.folder / f"{model}-stopped", Trainer._save_if_due, iter(range(99))

        def saving(trainer: Trainer) -> None:
            save(trainer)
            if next(count) == 8:
                trainer.save()
                raise Stop

        Trainer._save_if_due = saving
        try:
            with contextlib.suppress(Stop), contextlib.redirect_stdout(io.StringIO()):
                cli.main(["train", model, *more, "--data", str(self.folder / "digits"), "--epochs",
                          "2", "--batch-size", "2", "--out", str(run)])
        finally:
            Trainer._save_if_due = save
        return run

    def copy(self, model: str) -> Path:
        run = self.folder / "damaged"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(self.runs[model], run)
        return run

    def tried(self, run: Path, model: str) -> tuple[list[int], str, dict[str, Any]]:
        """Exit statuses of evaluate, sample and train --resume; what they said; the numbers."""
        status, numbers, said = [], {}, io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            for arguments in (["evaluate", run], ["sample", run, "--number", "4"],
                              ["train", "--resume", run]):
                status.append(cli.main([*map(str, arguments)]))
                if status[-1] == 0 and arguments[0] == "evaluate":
                    numbers["evaluated"] = (run / "evaluation.json").read_bytes()
                if status[-1] == 0 and arguments[0] == "sample":
                    numbers["sampled"] = (run / "sample-seed0.png").read_bytes()
        if status[2] == 0:
            state = checkpoint.read_state(run / "checkpoint.safetensors")
            numbers["weights"] = {name: array.tobytes() for name, array in state["model"].items()}
            numbers["history"] = state["history"]
        return status, said.getvalue(), numbers

    # ------------------------------------------------------------------ kinds of damage
    def damage(self, run: Path) -> tuple[str, bool]:
        """Damage a file; what was done, and whether a checksum may tell it."""
        name = self.random.choice(FILES)
        path, kind = run / name, self.random.choice(("bytes", "bytes", "cut", "values", "values"))
        content = path.read_bytes() if path.exists() else b"process 1 on here since then"
        if name == "samples.npy" or name == "lock":
            kind = self.random.choice(("bytes", "cut"))
        if kind == "values" and name == "checkpoint.safetensors":
            return self.state(path) if self.random.random() < 0.7 else self.header(path, content)
        if kind == "values":
            lines = content.decode().splitlines() if name == "log.jsonl" else [content.decode()]
            number = self.random.randrange(len(lines))
            line, what = self.edited(json.loads(lines[number]))
            lines[number] = json.dumps(line)
            path.write_text("\n".join(lines) + "\n")
            return f"{name}, line {number + 1}: {what}", True
        data, place = bytearray(content), self.random.randrange(len(content))
        if kind == "cut":
            data = data[:place] if self.random.random() < 0.7 else data[:place] + data[place + 7:]
        else:
            for _ in range(self.random.choice((1, 1, 1, 9))):
                data[min(place, len(data) - 1)] = self.random.randrange(256)
                place = self.random.choice((place + 1, self.random.randrange(len(data))))
        path.write_bytes(data)
        return f"{name}: {kind} at {place}", True

    def edited(self, tree: Any) -> tuple[Any, str]:
        """`tree` with one value, at any depth, replaced, renamed or removed."""
        places = []

        def walk(value: Any, path: tuple) -> None:
            items = (value.items() if isinstance(value, dict) else
                     enumerate(value) if isinstance(value, list) else ())
            for key, child in items:
                places.append((*path, key))
                walk(child, (*path, key))

        walk(tree, ())
        path = self.random.choice(places)
        parent = tree
        for key in path[:-1]:
            parent = parent[key]
        how, odd = self.random.choice(("put", "put", "put", "drop")), self.random.choice(ODD)
        if how == "drop":
            del parent[path[-1]]
        else:
            parent[path[-1]] = odd
        return tree, f"{how} {'.'.join(map(str, path))} {odd!r}"

    def header(self, path: Path, content: bytes) -> tuple[str, bool]:
        """The JSON of the file's header edited, its length made to fit."""
        size = int.from_bytes(content[:8], "little")
        head, what = self.edited(json.loads(content[8:8 + size]))
        text = json.dumps(head).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size:])
        return f"header: {what}", True

    def state(self, path: Path) -> tuple[str, bool]:
        """The state edited and saved with a new checksum; some edits cannot be told from truth."""
        state = checkpoint.read_state(path)
        arrays = [(state["model"], name) for name in state["model"]]
        arrays += [(entry, name) for entry in state["optimizers"]["model"]["state"].values()
                   for name in entry if name != "step"]
        if self.random.random() < 0.3:
            tree, name = self.random.choice(arrays)
            array = tree[name]
            change = self.random.choice((
                ("nan", lambda: array * np.nan), ("double", lambda: array.astype(float)),
                ("int", lambda: array.astype(int)), ("longer", lambda: array[None]),
                ("half", lambda: array.astype(np.float16)), ("no array", lambda: 3.0)))
            tree[name], what = change[1](), f"{name} {change[0]}"
        else:
            state, what = self.edited(state)
        try:
            checkpoint.write_state(path, state)
        except (TypeError, ValueError):
            return self.state(path)
        return f"state: {what}", False

    # ------------------------------------------------------------------ the hunt
    def hunt(self, damages: int) -> dict[str, int]:
        for number in range(damages):
            model = ("cnn", "vae")[number % 2]
            run = self.copy(model)
            what, told = self.damage(run)
            try:
                status, said, numbers = self.tried(run, model)
            except BaseException as error:
                raise AssertionError(f"{model}, {what}: {error!r}") from error
            assert set(status) <= {0, 2}, f"{model}, {what}: {status}"
            assert "Traceback" not in said and "\x1b" not in said, f"{model}, {what}: {said}"
            right = self.right[model]
            needed = {"evaluated": 0, "sampled": 1, "weights": 2, "history": 2}
            for name in right if told else ():
                if status[needed[name]] == 0:
                    assert numbers[name] == right[name], f"{model}, {what}: other {name}\n{said}"
            outcome = "refused" if status[2] else "told" if "note: " in said else "harmless"
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        return self.outcomes


@contextlib.contextmanager
def cheap() -> Any:
    """Four samples, since 64 take a second, and their numbers in place of pictures; but the log
    is read, as for curves."""
    with pytest.MonkeyPatch.context() as patch:
        samples = report.generated_images
        patch.setattr(report, "generated_images", lambda job, n, *more: samples(job, 4, *more))
        patch.setattr(report, "sheet", lambda *given: Sheet(report.generated_images(*given)))
        patch.setattr(report, "_draw_sheet", lambda *given: None)
        patch.setattr(report, "pictures", lambda run, job: run.records("step")[:0])
        yield


class Sheet:
    def __init__(self, images: np.ndarray) -> None:
        self.savefig = lambda path: Path(path).write_bytes(images.tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--damages", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, cheap():
        print(Hunt(Path(folder), args.seed).hunt(args.damages))


if __name__ == "__main__":
    main()
