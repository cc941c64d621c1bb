"""Keys of a real terminal, and `minidl step` under one; lines and JSON without one."""

from __future__ import annotations

import io
import json
import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minidl
from minidl import cli, nn, optim
from minidl import functional as F
from minidl.explain.controls import COMMAND_MOVES, WORDS, Controls
from minidl.explain.facts import Facts
from minidl.explain.jsonlines import plain
from minidl.explain.keyboard import decoded_keys
from minidl.explain.place import Place
from minidl.explain.screen import Screen
from minidl.explain.trace import Trace
from minidl.explain.walk import Walk
from minidl.explain.wrapping import columns_of
from minidl.training import first_step

ROOT = Path(minidl.__file__).parents[1]
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
has_pty = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")


def recorded() -> Trace:
    """A step of a small network."""
    minidl.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3))
    optimizer = optim.Adam(net.parameters(), lr=0.01)
    images, labels = minidl.tensor(minidl.rand(1, 1, 5, 5).numpy()) + 0, minidl.tensor([2])
    with minidl.record() as trace:
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return trace


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """It in a file."""
    path = tmp_path_factory.mktemp("keys") / "step.json"
    recorded().save(path)
    return path


# --------------------------------------------------------------------------- what a terminal sends
@pytest.mark.parametrize("sent, keys", [
    ("n", ["n"]), ("nn", ["n", "n"]), ("\x1b[D", ["ArrowLeft"]), ("\x1bOC", ["ArrowRight"]),
    ("\x1b[1;2D\x1b[1;2C", ["Shift+ArrowLeft", "Shift+ArrowRight"]), ("\r\n", ["Enter", "Enter"]),
    ("\x7f\x08", ["Backspace", "Backspace"]), ("\t\x1b[Z", ["Tab", "Shift+Tab"]),
    ("\x1b[H\x1b[F\x1b[1~\x1b[4~\x1bOH", ["Home", "End", "Home", "End", "Home"]),
    ("\x1b[5~\x1b[6~", ["PageUp", "PageDown"]), ("\x1b[1;5A", ["ArrowUp"]), ("é数", ["é", "数"]),
    ("\x1b[200~x\x1b[24~", ["x"]), ("\x01\x00", []), ("\x1bx", ["Escape", "x"]), ("\x04", ["q"])])
def test_keys_by_name(sent, keys):
    assert decoded_keys(sent) == (keys, "")


@pytest.mark.parametrize("beginning", ["\x1b", "\x1b[", "\x1b[1;", "\x1bO"])
def test_a_sequence_may_come_in_pieces(beginning):
    assert decoded_keys("n" + beginning) == (["n"], beginning)


# --------------------------------------------------------------------------- under a terminal
class Terminal:
    """`minidl step` under a pseudo-terminal; `screen` is what stood after the last clearing."""

    def __init__(self, *arguments, lines: int = 24, columns: int = 80, **environment):
        import fcntl
        import pty
        import termios
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(theirs)
        own = {k: v for k, v in os.environ.items() if k not in ("LINES", "COLUMNS", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "minidl", "step", *map(str, arguments)], stdin=theirs,
            stdout=theirs, stderr=theirs, cwd=ROOT,
            env=own | {"TERM": "xterm-256color"} | environment)
        self.theirs, self.text = theirs, ""

    def until(self, wanted: str) -> str:
        """Read until this stands on the screen; the screen's text."""
        end = time.monotonic() + 60
        while wanted not in self.screen:
            assert time.monotonic() < end, f"no {wanted!r} in {self.screen!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                self.text += os.read(self.fd, 65536).decode()
            else:
                assert self.process.poll() is None or wanted in self.screen, self.screen
        return self.screen

    @property
    def screen(self) -> str:
        return ANSI.sub("", self.text.rpartition("\x1b[2J")[2]).replace("\r\n", "\n")

    def type(self, keys: str) -> None:
        os.write(self.fd, keys.encode())

    def ended(self) -> int:
        """The exit status, when all is read and the terminal is as it was."""
        import termios
        end = time.monotonic() + 60
        while self.process.poll() is None:
            assert time.monotonic() < end
            if select.select([self.fd], [], [], 0.1)[0]:
                self.text += os.read(self.fd, 65536).decode()
        while select.select([self.fd], [], [], 0.1)[0]:
            self.text += os.read(self.fd, 65536).decode()
        assert termios.tcgetattr(self.theirs)[:4] == self.before[:4]
        os.close(self.fd), os.close(self.theirs)
        return self.process.returncode


@pytest.fixture
def under_terminal():
    """Terminal, and afterwards none of them runs on."""
    begun = []

    def begin(*arguments, **options):
        begun.append(Terminal(*arguments, **options))
        return begun[-1]
    yield begin
    for terminal in begun:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


@has_pty
def test_the_whole_walk_under_a_terminal(saved, under_terminal):
    pytest.importorskip("rich")
    trace = Trace.load(saved)
    count, facts = len(trace.events), Facts(trace)
    terminal = under_terminal(saved)
    for number in range(1, count + 1):
        screen = terminal.until(f"event {number} of {count}")
        screen = terminal.until("Left Right, d, ?, q")           # all of it is there
        lines = screen.split("\n")
        assert len(lines) <= 24 and all(columns_of(line) <= 80 for line in lines), screen
        terminal.type("\x1b[C" if number % 2 else "n")
    terminal.until("this is the last event")
    number = next(n for n, e in enumerate(trace.events, 1) if e["phase"] == "backward"
                  and trace.nodes[e["node"]]["name"] == "0.weight")
    terminal.type(f"g{number}\r")
    terminal.until(f"event {number} of {count}")
    assert "gradient of 0.weight" in terminal.until("Left Right, d, ?, q")
    passed = ["relu", "linear", "cross_entropy_rows", "sum"]      # and no reshape
    for op in passed:
        terminal.type("\r")
        terminal.until(f"backward, {op}")
        terminal.until("brought it")
    terminal.type("\x7f" * 4)
    assert "gradient of 0.weight" in terminal.until(f"event {number} of {count}")
    cell = facts.of(number).cell
    shown = ",".join(map(str, (cell[0], 0, 2, 2)))
    terminal.type(f"i{cell[0]},0,2,2\r")
    assert f"gw[{shown}], as chosen" in terminal.until("as chosen")
    terminal.type("d")
    assert "shape 2 x 1 x 3 x 3" in terminal.until("page 1 of ")
    terminal.type("\x1b")                                         # Escape, alone
    terminal.until("Left Right, d, ?, q")
    terminal.type("?")
    terminal.until("With --lines, a command a line")
    terminal.type("qq")
    assert terminal.ended() == 0
    assert terminal.text.rpartition("\x1b[?1049l")[2].count("event ") > 0    # it stays to be read


@has_pty
def test_a_larger_terminal_shows_more(saved, under_terminal):
    pytest.importorskip("rich")
    sizes = []
    for lines, columns in ((24, 80), (50, 120)):
        terminal = under_terminal(saved, lines=lines, columns=columns)
        screen = terminal.until("Left Right, d, ?, q")
        sizes.append(screen.count("\n") + 1)
        assert sizes[-1] <= lines and max(map(columns_of, screen.split("\n"))) <= columns
        terminal.type("q")
        assert terminal.ended() == 0
    assert sizes[1] > sizes[0]


@has_pty
def test_ctrl_c_puts_the_terminal_back(saved, under_terminal):
    pytest.importorskip("rich")
    terminal = under_terminal(saved)
    terminal.until("Left Right, d, ?, q")
    terminal.process.send_signal(2)
    assert terminal.ended() == 130
    assert "\x1b[?1049l" in terminal.text and "Traceback" not in terminal.text


@has_pty
def test_a_terminal_that_knows_no_keys_has_lines(saved, under_terminal):
    terminal = under_terminal(saved, TERM="dumb")
    terminal.until("> ")
    terminal.type("goto 2\n")
    terminal.until("event 2 of")
    terminal.type("quit\n")
    assert terminal.ended() == 0
    assert "\x1b" not in terminal.text


# --------------------------------------------------------------------------- the page on it
def assert_alike(found: str, shown: str) -> None:
    """Word by word; numbers up to rounding, which differs between machines."""
    words = [re.findall(r"[-+]?\d[\d.e+-]*|[^\s\d]+", text) for text in (found, shown)]
    assert len(words[0]) == len(words[1]), found
    for word, other in zip(*words):
        try:
            assert float(word) == pytest.approx(float(other), rel=2e-2, abs=1e-6), (word, other)
        except ValueError:
            assert word == other, found


def negated() -> Trace:
    """A convolution's weight gradient with the wrong sign."""
    trace = recorded()
    event = next(e for e in trace.events if e["phase"] == "backward"
                 and trace.nodes[e["node"]]["name"] == "0.weight")
    trace.arrays.append(-trace.arrays[event["contribution"]])
    event["contribution"] = event["sum"] = len(trace.arrays) - 1
    source = trace.sources[trace.ops[event["op"]]["line"]]
    source.update(path="step.py", line=12)
    trace.check()
    return trace


def test_the_docs_show_what_is_printed():
    text = (ROOT / "docs" / "step.md").read_text(encoding="utf-8")
    shown = re.findall(r"^% (keys|details): ([^\n]*)\n\n```text\n(.*?)\n```$", text, re.M | re.S)
    assert [what for what, _, _ in shown] == ["keys", "keys", "keys", "details", "keys"]
    controls = Controls(Place(trace := first_step.of_model("cnn")))
    for what, command, block in shown:
        if command == "wrong":
            controls = Controls(Place(negated()))
        if what == "details":
            assert_alike(Walk(trace).event(int(command)), block)
            continue
        controls.command(command)
        lines = controls.block(Screen())
        begin = next(k for k, line in enumerate(lines) if line == block.split("\n")[0])
        assert_alike("\n".join(lines[begin:][:block.count("\n") + 1]), block)


def test_the_docs_list_every_key_and_option():
    text = (ROOT / "docs" / "step.md").read_text(encoding="utf-8")
    words = {"Enter", "Backspace", "Home", "End", "Tab", *"nfbucdgpi/q?"}
    for key in words:
        assert re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text), key
    for word in [*WORDS, *COMMAND_MOVES, "goto", "find", "cell"]:
        assert not word or f"`{word}" in text, word
    options = subprocess.run([sys.executable, "-m", "minidl", "step", "--help"], cwd=ROOT,
                             capture_output=True, text=True).stdout
    for option in set(re.findall(r"--[a-z]+", options)) - {"--help", "--model"}:
        assert f"`{option}" in text, option


# --------------------------------------------------------------------------- lines and JSON
def told(capsys, monkeypatch, saved, commands: str, *options: str) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(commands))
    assert cli.main(["step", str(saved), "--lines", *options]) == 0
    out, error = capsys.readouterr()
    assert not error and out.replace("\n", "").isprintable()
    return out


def test_lines_in_the_place_of_keys(saved, capsys, monkeypatch):
    out = told(capsys, monkeypatch, saved, "next\nfind 0.weight\nnonsense\ngoto 2 3\nback\nd\n"
               "help\nwrong\n\nquit\nnext\n")
    heads = re.findall(r"^event (\d+) of", out, re.MULTILINE)
    assert heads[:3] == ["1", "2", heads[2]] and heads[3] == "2"
    assert "nonsense is no key here; ? lists them\n\n" in out
    assert "goto: '2 3' is no event" in out
    assert "nothing was checked; --check does it before the walk" in out
    assert "With --lines, a command a line" in out and ", mean " in out
    assert heads[-1] == "1"                                       # Enter, from relu to conv2d
    assert out.count("With --lines") == 1


def test_the_end_of_the_lines_ends_it(saved, capsys, monkeypatch):
    assert told(capsys, monkeypatch, saved, "").count("\n\n") == 1
    out = told(capsys, monkeypatch, saved, "n\nn\nn\n", "--phase", "update", "--cell", "0,0,1,1")
    assert [", update, " in line for line in out.split("\n") if line.startswith("event")] == [
        True] * 4
    assert "0.weight[0,0,1,1], as chosen" in out


def test_json_lines(saved, capsys):
    assert cli.main(["step", str(saved), "--json", "--check"]) == 0
    out, error = capsys.readouterr()
    events = [json.loads(line, parse_constant=pytest.fail) for line in out.splitlines()]
    trace, facts = Trace.load(saved), Facts(Trace.load(saved))
    assert [e["event"] for e in events] == [*range(1, len(trace.events) + 1)]
    for event in events:
        found = facts.of(event["event"])
        assert event["says"] == found.head and event["cell"] == list(found.cell)
        assert event["explanation"]["total"] == pytest.approx(found.found.total)
        assert event["agrees"] is True and event["check"]["wrong"] is False
        assert event["follow"]["event"] is None or 1 <= event["follow"]["event"] <= len(events)
        if event["phase"] != "update":
            assert [t["value"] for t in event["explanation"]["terms"]] == pytest.approx(
                [t.value for t in found.found.terms])
    assert "failed" in error and "checks" in error
    updates = [e for e in events if e["phase"] == "update"]
    assert updates[0]["rule"][-1]["line"].startswith("w = w - lr * mh")


def test_numbers_that_json_has_not():
    odd = {"a": [float("nan"), np.float32("inf")], "b": (-np.inf, 1.5, np.int64(3), None, "x")}
    assert plain(odd) == {"a": ["nan", "inf"], "b": ["-inf", 1.5, 3, None, "x"]}
    json.dumps(plain(odd), allow_nan=False)


@pytest.mark.parametrize("arguments", [["--json", "--lines"], ["--plain", "--json"]])
def test_one_way_of_writing(saved, arguments, capsys):
    with pytest.raises(SystemExit):
        cli.main(["step", str(saved), *arguments])
    assert "not allowed with" in capsys.readouterr().err
