"""A run folder: what was asked (config.json), what happened (log.jsonl), checkpoint, pictures."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

from ..saving import write_atomically


class Run:
    """The folder of one training run; make it with :meth:`create`, come back with :meth:`open`."""

    def __init__(self, folder: str | Path, config: dict[str, Any]) -> None:
        self.folder, self.config = Path(folder), config
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.log_file = self.folder / "log.jsonl"

    @classmethod
    def create(cls, config: dict[str, Any], folder: str | Path | None = None) -> Run:
        """A new run in `folder`, or in ``runs/NAME-YYYYmmdd-HHMMSS``; NAME is config["model"].

        Raises FileExistsError if there is a run already, OSError if nothing can be written there.
        """
        if folder is None:
            name = time.strftime(f"{config['model']}-%Y%m%d-%H%M%S")
            folder = next(path for n in range(1, 10**6) if not
                          (path := Path("runs", name + (f"-{n}" if n > 1 else ""))).exists())
        run = cls(folder, config)
        if (run.folder / "config.json").exists():
            raise FileExistsError(f"run: {run.folder} holds a run already; go on with it by "
                                  f"--resume {run.folder}, or give another folder")
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            run.log_file.write_bytes(b"")
            run.write_json("config.json", config)
        except OSError as error:
            raise type(error)(f"run: cannot write to the folder {run.folder} "
                              f"({error.strerror or error})") from error
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run in `folder`. Raises FileNotFoundError or ValueError if there is none."""
        path = Path(folder) / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"run: {folder} is no run folder, it has no config.json")
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"run: {path} is damaged ({error})") from error
        if not isinstance(config, dict) or "model" not in config:
            raise ValueError(f'run: {path} names no "model": not a config of minidl')
        return cls(folder, config)

    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write `values` into the folder, as readable JSON."""
        write_atomically(self.folder / name, (json.dumps(values, indent=2) + "\n").encode())

    def log(self, kind: str, **values: Any) -> None:
        """Add one line: ``{"kind": "step" or "epoch", "epoch": 1, ...}``."""
        with open(self.log_file, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **values}) + "\n")

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The values of the log's lines of one kind."""
        return [{name: value for name, value in line.items() if name != "kind"}
                for line in self._lines() if line["kind"] == kind]

    def _lines(self) -> list[dict[str, Any]]:
        """The log; half a line, left by a kill, is passed over."""
        lines = []
        if self.log_file.is_file():
            for text in self.log_file.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(text))
        return lines

    def forget_after(self, epoch: int, step: int) -> None:
        """Drop what was logged after `step` steps beyond `epoch` whole epochs: it comes again."""
        end = (epoch + 1, step)              # an epoch's own line comes after all of its steps
        kept = [line for line in self._lines()
                if (line["epoch"], line.get("step", float("inf"))) <= end]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomically(self.log_file, text.encode())
