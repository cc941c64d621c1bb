"""The log of a run: half a line may go, a damaged line is named, a checkpoint goes on without."""

from __future__ import annotations

import re

import pytest
from test_training import Quiet, Stop, raise_stop, stop_at, tiny_trainer

from minidl.training import Run, Trainer, checkpoint


@pytest.fixture(scope="module")
def stopped_run(tmp_path_factory):
    """A run stopped in its second epoch, and the records that the checkpoint knows."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    trainer = tiny_trainer(folder, save_every=0)
    stop_at(trainer, 20, raise_stop)
    with pytest.raises(Stop):
        trainer.fit(3)
    whole = tiny_trainer()
    whole.fit(3)
    return folder, whole


def damaged_logs(log: bytes) -> dict[str, tuple[bytes, int | None]]:
    """Every kind of damage to a log, and the number of the first line that cannot be read."""
    lines = log.split(b"\n")[:-1]
    found = {}
    for i in (0, 3, 12, len(lines) - 2):
        for name, text in {
            "bad byte": b"\xff" + lines[i][1:], "half": lines[i][:9], "empty": b"", "list": b"[1]",
            "number": b"3", "null": b"null", "nan": lines[i].replace(b"{", b'{"x": NaN, '),
            "word": lines[i].replace(b'"epoch": ', b'"epoch": "a", "e": '),
            "infinite": lines[i].replace(b'"epoch"', b'"x": 1e999, "epoch"'),
            "kind": lines[i].replace(b'"kind"', b'"kond"'), "deep": b"[" * 99999,
            "no epoch": lines[i].replace(b'"epoch": ', b'"epich": '), "zeros": bytes(50),
            "long": b'{"kind": "step", "epoch": 1, "step": 1, "x": ' + b"9" * 5000 + b"}",
        }.items():
            found[f"{name} {i}"] = (b"\n".join([*lines[:i], text, *lines[i + 1:], b""]), i + 1)
        digit = lines[i].replace(b'"loss": 1.', b'"loss": 2.')
        assert digit != lines[i]
        found[f"digit {i}"] = (b"\n".join([*lines[:i], digit, *lines[i + 1:], b""]), None)
        found[f"gone {i}"] = (b"\n".join([*lines[:i], *lines[i + 1:], b""]), None)
        found[f"twice {i}"] = (b"\n".join([*lines[:i + 1], *lines[i:], b""]), None)
    found["cut"] = (b"\n".join(lines[:5]) + b"\n", None)
    found["no file"] = (b"", None)
    return found


def test_a_log_that_was_damaged(stopped_run, tmp_path, capsys):
    """A reader is told the file and the line; the checkpoint is gone on with all the same."""
    folder, whole = stopped_run
    log, saved = (folder / "log.jsonl").read_bytes(), checkpoint.read_state(
        folder / "checkpoint.safetensors")
    for number, (name, (content, line)) in enumerate(damaged_logs(log).items()):
        run = tmp_path / str(number)
        run.mkdir()
        for file in ("config.json", "checkpoint.safetensors"):
            (run / file).write_bytes((folder / file).read_bytes())
        (run / "log.jsonl").write_bytes(content)
        reader = Run.open(run)
        reader.mark = saved["log"]
        where = f", line {line} is damaged" if line else " was changed after it was written"
        with pytest.raises(ValueError, match=re.escape(f"run: {run / 'log.jsonl'}{where}")):
            reader.records("step")
        assert (run / "log.jsonl").read_bytes() == content
        if number % 5 == 0 or line is None:
            capsys.readouterr()
            resumed = tiny_trainer(run, resume=True)
            note = capsys.readouterr().out
            assert "note: " in note and "is kept as log-damaged-1.jsonl" in note
            assert (run / "log-damaged-1.jsonl").read_bytes() == content
            assert resumed.fit(3) == whole.history, name
            assert resumed.run.records("epoch") == whole.history
            tiny_trainer(run, resume=True)                 # the new log is known, and whole
            assert capsys.readouterr().out == ""
            assert not (run / "log-damaged-2.jsonl").exists()


def test_half_a_line_at_the_end_may_go(stopped_run, tmp_path, capsys):
    folder, whole = stopped_run
    for number, end in enumerate((b'{"kind": "st', b"\xff\xff", b"{", b"[]", b"9\n7")):
        run = tmp_path / str(number)
        run.mkdir()
        for file in ("config.json", "checkpoint.safetensors", "log.jsonl"):
            (run / file).write_bytes((folder / file).read_bytes())
        with open(run / "log.jsonl", "ab") as file:
            file.write(end)
        resumed = tiny_trainer(run, resume=True)
        assert capsys.readouterr().out == ""
        assert (resumed.epoch, resumed.step) == (1, 7)
        assert resumed.fit(3) == whole.history
        if b"\n" not in end:
            (run / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes() + end)
            assert Run.open(run).records("epoch") == whole.history


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_part_of_itself(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    run = Run.create({"model": "tiny"}, tmp_path)
    run.log("step", epoch=1, step=1, loss=1.0)
    whole = run.log_file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 9, limits[1]))
    try:
        with pytest.raises(OSError, match="run: cannot write to the folder .*log.jsonl"):
            run.log("step", epoch=1, step=2, loss=2.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert run.log_file.read_bytes() == whole
    run.log("step", epoch=1, step=2, loss=2.0)
    assert [record["step"] for record in run.records("step")] == [1, 2]


def test_a_log_too_long_for_the_memory_is_not_read(tmp_path):
    run = Run.create({"model": "tiny"}, tmp_path)
    with open(run.log_file, "wb") as file:
        file.truncate(1 << 40)                         # it takes no place on the disk
    for read in (run.log_mark, lambda: run.records("step")):
        with pytest.raises(ValueError, match="run: .*log.jsonl: more than 268,435,456 bytes"):
            read()


def test_a_line_with_other_values_than_those_before_it_is_named(stopped_run, tmp_path):
    """Curves are drawn of what every line has."""
    folder, _ = stopped_run
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    lines = (folder / "log.jsonl").read_bytes() + b'{"kind": "step", "epoch": 9, "step": 1}\n'
    (tmp_path / "log.jsonl").write_bytes(lines)
    number = lines.count(b"\n")
    with pytest.raises(ValueError, match=f"line {number} is damaged .it has kind, epoch, step, "):
        Run.open(tmp_path).records("step")


@pytest.mark.parametrize("batches, steps", [(1, 1), (39, 1), (40, 2), (199, 9), (200, 10),
                                            (5000, 10)])
def test_losses_are_read_twenty_times_an_epoch_and_every_ten_steps_at_least(batches, steps):
    """Reading one makes a GPU wait."""
    one = tiny_trainer()
    assert Trainer(one.procedure, [None] * batches, show=Quiet()).read_every == steps
