"""A run folder: what was asked (config.json), what happened (log.jsonl), checkpoint, pictures."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import shlex
import time
from pathlib import Path
from typing import Any

from ..files.regular import read_regular, without_waiting
from ..files.saving import TEMPORARY, write_atomically
from .lock import Lock

# The files of which a kill may have left half a copy behind.
WRITTEN = ("config.json", "log.jsonl", "log-damaged", "checkpoint.safetensors", "samples.npy",
           "evaluation.json")
LARGEST_CONFIG = 1 << 20      # bytes of a config
LARGEST_LOG = 1 << 28         # of a log: two million steps


class Run:
    """The folder of one training run; make it with :meth:`create`, come back with :meth:`open`.

    A run is there from its first checkpoint on: until then :meth:`create` starts again in its
    folder. Who writes into the folder holds it: ``with run: ...``, which may be nested. No second
    process, and no second Run, gets it meanwhile; to read needs no hold.
    """

    def __init__(self, folder: str | Path, config: dict[str, Any]) -> None:
        self.folder, self.config = Path(folder), config
        self.checkpoint = self.folder / "checkpoint.safetensors"
        self.log_file = self.folder / "log.jsonl"
        self.mark: list | None = None        # of the log that the checkpoint knows: see log_mark
        self._lock, self._depth = Lock(self.folder / "lock"), 0

    @classmethod
    def create(cls, config: dict[str, Any], folder: str | Path | None = None) -> Run:
        """A new run in `folder`, or in ``runs/NAME-YYYYmmdd-HHMMSS``; NAME is config["model"]. The
        folder is held until the training in it ends.

        Raises FileExistsError if there is a run already, BlockingIOError if another process trains
        there, OSError if nothing can be written there.
        """
        if folder == "":
            raise ValueError("run: the name of its folder is empty")
        run = cls(folder if folder is not None else _free_folder(config["model"]), config)
        with run._writing():
            run.folder.mkdir(parents=True, exist_ok=True)
        run._hold()
        run.begin()
        run.write_json("config.json", config)
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run in `folder`. Raises FileNotFoundError or ValueError if there is none."""
        path = Path(folder) / "config.json"
        config = _config(path)
        if not isinstance(config, dict) or "model" not in config:
            raise ValueError(f'run: {path} names no "model": not a config of minidl')
        run = cls(folder, config)
        if run._left_over():
            with contextlib.suppress(OSError), run:       # of one who writes now, nothing is taken
                pass
        return run

    # ------------------------------------------------------------------ one process at a time
    def __enter__(self) -> Run:
        self._hold()
        self._depth += 1
        return self

    def __exit__(self, *exception: Any) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._lock.free()

    def _hold(self) -> None:
        with self._writing():
            self._lock.take()
            if self._depth == 0:
                for path in self._left_over():
                    path.unlink(missing_ok=True)

    def _left_over(self) -> list[Path]:
        """Files that were being written when a process was killed."""
        return [path for path in self.folder.glob(f"*{TEMPORARY}") if path.name.startswith(WRITTEN)]

    @contextlib.contextmanager
    def _writing(self) -> Any:
        try:
            yield
        except BlockingIOError:
            raise
        except OSError as error:
            raise type(error)(f"run: cannot write to the folder {self.folder} "
                              f"({error.strerror or error})") from error

    def begin(self) -> None:
        """Empty the log. Raises FileExistsError if a run would be lost by that."""
        if self.is_there():
            raise FileExistsError(
                f"run: {self.folder} holds a run already; go on with it by --resume "
                f"{shlex.quote(str(self.folder))}, or give another folder")
        with self._writing():
            write_atomically(self.log_file, b"")
        self.mark = None

    def is_there(self) -> bool:
        """Is there what another start would lose? That is a checkpoint; or, of a run without
        safetensors, which has none, the log of all its epochs."""
        if self.checkpoint.exists():
            return True
        try:
            _config(self.folder / "config.json")
        except (FileNotFoundError, ValueError):      # damaged: nobody could go on with that run
            return False
        before = Run.open(self.folder)
        epochs = before.config.get("epochs")
        return isinstance(epochs, int) and 0 < epochs <= len(before.records("epoch"))

    # ------------------------------------------------------------------ files
    def write_json(self, name: str, values: dict[str, Any]) -> None:
        """Write `values` into the folder, as readable JSON."""
        write_atomically(self.folder / name, (json.dumps(values, indent=2) + "\n").encode())

    def log(self, kind: str, **values: float) -> None:
        """Add one line: ``{"kind": "step" or "epoch", "epoch": 1, ...}``; on a full disk, no part
        of one."""
        line = (json.dumps({"kind": kind, **values}) + "\n").encode()
        with self._writing(), open(self.log_file, "ab", buffering=0,
                                   opener=without_waiting) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                if file.write(line) < len(line):
                    raise OSError(f"no space for a line in {self.log_file.name}")
            except BaseException:
                file.truncate(end)
                raise

    def records(self, kind: str) -> list[dict[str, Any]]:
        """The values of the log's lines of one kind. Half a line at the end, left by a kill, is
        passed over. Raises ValueError for a log that was damaged, naming the line."""
        content, lines, names = self._log(), [], {}
        for number, text in enumerate(content.split(b"\n")[:-1], 1):
            try:
                lines.append(_log_record(text))
                first = names.setdefault(lines[-1]["kind"], lines[-1].keys())
                if lines[-1].keys() != first:
                    raise ValueError(f"it has {', '.join(lines[-1])}, lines before it have "
                                     f"{', '.join(first)}")
            except (ValueError, RecursionError) as error:
                raise ValueError(f"run: {self.log_file}, line {number} is damaged ({error})"
                                 ) from error
        if not self._as_marked(content):
            raise ValueError(f"run: {self.log_file} was changed after it was written: it is not "
                             "what the checkpoint knows")
        return [{name: value for name, value in line.items() if name != "kind"}
                for line in lines if line["kind"] == kind]

    def log_mark(self) -> list:
        """[bytes, SHA-256] of the log, all of it on the disk now: for the checkpoint, which is then
        able to tell that this much of the log is as it was."""
        content = self._log()
        if content:
            with open(self.log_file, "rb+") as file:
                os.fsync(file.fileno())
        self.mark = [len(content), hashlib.sha256(content).hexdigest()]
        return self.mark

    def restore_log(self, mark: list, epochs: list[dict[str, Any]], place: tuple[int, int]
                    ) -> str | None:
        """Take the log back to what it was at a checkpoint, which knows its `mark`, the `epochs`'
        records, and its place (epoch, step): what came later comes again.

        If the log was damaged since, it is kept under another name; what can be read of its steps,
        and the epochs, become the log. Returns what is to be told of that.
        """
        content, self.mark = self._log(), mark
        if self._as_marked(content):
            write_atomically(self.log_file, content[:mark[0]])
            return None
        end = (place[0] + 1, place[1])
        lines = {(line["epoch"], math.inf): {"kind": "epoch", **line} for line in epochs}
        for text in content.split(b"\n")[:-1]:
            with contextlib.suppress(ValueError, RecursionError):
                line = _log_record(text)
                if line["kind"] == "step" and (line["epoch"], line["step"]) <= end:
                    lines[line["epoch"], line["step"]] = line
        names = (self.folder / f"log-damaged-{n}.jsonl" for n in itertools.count(1))
        kept = next(path for path in names if not path.exists())
        write_atomically(kept, content)
        write_atomically(self.log_file, b"".join(json.dumps(line).encode() + b"\n"
                                                 for _, line in sorted(lines.items())))
        return (f"{self.log_file} was damaged after it was written, and is kept as {kept.name}; "
                "what can be read of its steps goes on in the new one, and the epochs as the "
                "checkpoint has them")

    def _log(self) -> bytes:
        try:
            return read_regular(self.log_file, LARGEST_LOG)
        except FileNotFoundError:
            return b""
        except ValueError as error:
            raise ValueError(f"run: {error}") from None

    def _as_marked(self, content: bytes) -> bool:
        if self.mark is None:
            return True
        size, digest = self.mark
        return hashlib.sha256(content[:size]).hexdigest() == digest


def _config(path: Path) -> Any:
    try:
        return json.loads(read_regular(path, LARGEST_CONFIG).decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"run: {path.parent} is no run folder, it has no config.json"
                                ) from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"run: {path} is damaged ({error})") from error


def _free_folder(name: str) -> Path:
    """A new folder, which no other process made, named after the time."""
    name = time.strftime(f"{name}-%Y%m%d-%H%M%S")
    for n in itertools.count(1):
        path = Path("runs", name + (f"-{n}" if n > 1 else ""))
        try:
            path.mkdir(parents=True)
            break
        except OSError as error:
            if not path.exists():
                raise type(error)(f"run: cannot write to the folder {path} "
                                  f"({error.strerror or error})") from error
    return path


def _log_record(text: bytes) -> dict[str, Any]:
    """One line of a log. Raises ValueError for what :meth:`Run.log` does not write."""
    line = json.loads(text.decode("utf-8"))
    if not isinstance(line, dict) or line.get("kind") not in ("step", "epoch"):
        raise ValueError('no "kind" of a line')
    for name in ("epoch", "step")[:1 + (line["kind"] == "step")]:
        if type(line.get(name)) is not int or line[name] < 1:
            raise ValueError(f'"{name}" is {line.get(name)!r}')
    for name, value in line.items():
        if name != "kind" and not (isinstance(value, (int, float)) and abs(value) < math.inf):
            raise ValueError(f'"{name}" is {value!r}')
    return line
