"""D1-MUSIC: examples/tunes.py and examples/music.py; the model is tested in test_sequences.py."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys

import pytest

from examples import EXAMPLES, load_example


@pytest.fixture(scope="module")
def example():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)                     # music.py imports what stands beside it
        yield load_example("music")


@pytest.fixture(scope="module")
def tunes(example):
    return load_example("tunes")


def test_abc_to_symbols_and_back(tunes):
    found = tunes.symbols("4/4", "G2|E3^Fc4|G6|")
    assert found == ["4/4", "6", "G", "8", "|", "E", "3", "^F", "4", "c", "8", "|", "G", "6", "|",
                     "end"]
    assert tunes.abc(found) == "G2|E3^Fc4|G6|"


@pytest.mark.parametrize("metre, body, message", [
    ("5/4", "C8|", "metre must be one of 4/4, 3/4, 6/8, got '5/4'"),
    ("4/4", "C8|C4D4E|", "'C4D4E' is no bar of notes, 1 to 8 eighths"),
    ("3/4", "C4|H2|", "'H2' is no bar of notes, 1 to 6"),
    ("3/4", "C4||", "'' is no bar"),
    ("4/4", "C0C8|", "'C0C8' is no bar"),
    ("4/4", "C12|", "'C12' is no bar"),
    ("4/4", "G2E2G4", "a tune must end in a bar line |, got 'G2E2G4' at its end"),
    ("4/4", "G8|E8", "a tune must end in a bar line |, got 'G8|E8' at its end"),
    ("4/4", "", "a tune must end in a bar line |, got '' at its end"),
    ("4/4", "C,,8|", "'C,,' is no pitch from A,, to c'"),
    ("4/4", "D8|^E8|", "'^E' is no pitch from A,, to c'"),
])
def test_wrong_abc_is_an_error(tunes, metre, body, message):
    with pytest.raises(ValueError, match=re.escape(f"symbols: {message}")):
        tunes.symbols(metre, body)


def test_pitches_have_midi_numbers(tunes):
    names = {60: "C", 61: "^C", 69: "A", 71: "B", 72: "c", 59: "B,", 48: "C,", 84: "c'"}
    assert {midi: tunes.pitch_name(midi) for midi in names} == names
    assert tunes.notes(tunes.symbols("4/4", "C^F3G,4|")) == [(60, 1), (66, 3), (55, 4)]


def test_every_tune_is_whole(tunes):
    """Every bar but the first and the last is full, and these two make up for each other."""
    found = tunes.read(tunes.TUNES)
    assert len(found) == 34
    for title, tune in found.items():
        lengths = [sum(int(n or 1) for _, n in tunes.re.findall(tunes.NOTE, bar))
                   for bar in tunes.abc(tune).split("|")[:-1]]
        full = tunes.BAR[tune[0]]
        assert {*lengths[1:-1]} == {full}, title
        assert lengths[0] == lengths[-1] == full or lengths[0] + lengths[-1] == full, title
        assert {*tune} <= {*tunes.ALPHABET}
    assert tunes.abc(found["Ode to Joy"]).startswith("E2E2F2G2|G2F2E2D2|C2C2D2E2|E3DD4|")


def test_a_lead_in_begins_late(tunes):
    found = tunes.read(tunes.TUNES)
    assert found["Auld Lang Syne"][:5] == ["4/4", "6", "G,", "8", "|"]
    assert found["Clementine"][:7] == ["3/4", "4", "C", "5", "C", "6", "|"]


def test_every_tune_follows_the_grammar(tunes):
    """And what cannot be played is not allowed."""
    for tune in tunes.read(tunes.TUNES).values():
        codes = tunes.coded([tune]).tolist()
        assert all(codes[i] in tunes.can_follow(codes[:i]) for i in range(2, len(codes)))
        assert tunes.can_follow(codes) == []

    def after(*so_far):
        return {tunes.ALPHABET[i] for i in tunes.can_follow(tunes.coded([so_far]).tolist())}

    assert after("4/4", "0") == {*tunes.PITCHES}
    assert after("4/4", "0", "C") == set("12345678")
    assert after("4/4", "0", "C", "6", "D") == set("78")
    assert after("4/4", "0", "C", "6") == {*tunes.PITCHES, "|"}
    assert after("4/4", "0", "C", "8") == {"|"}
    assert after("4/4", "0", "C", "8", "|") == {*tunes.PITCHES, "end"}
    assert after("4/4", "0", "C", "8", "|", "D") == set("12345678")


def test_full_bars_are_counted_by_the_metre(example):
    tune = example.read(example.TUNES)["Ode to Joy"]
    assert example.full_bars(tune) == [True] * 15
    assert example.full_bars(["6/8", "0", "C", "6", "|", "C", "4", "|", "C", "1", "|", "end"]) == [
        True, False]


def test_tunes_that_end_on_c(example):
    def ends(body):
        return example.ends_on_c(load_example("tunes").symbols("4/4", body))

    assert ends("G4C4|") and ends("c'8|") and ends("C,8|")
    assert not ends("C4G4|") and not ends("^C8|")
    assert not example.ends_on_c(["4/4", "0", "C", "8", "|"])                # cut off, not ended
    old = example.read(example.TUNES)
    assert {title for title, tune in old.items() if not example.ends_on_c(tune)} == {
        "Korobeiniki", "Drunken Sailor", "The First Nowell"}


def test_the_table_of_new_tunes(example, tunes, capsys):
    known = [tunes.symbols("4/4", "C2D2E2F2|G8|"), tunes.symbols("4/4", "C8|C4|G8|")]
    made = [tunes.symbols("4/4", "D2E2^F2G2|c8|"), tunes.symbols("4/4", "C8|C4|D8|")]
    example.table({"4/4": made}, known)
    *_, new, old = (line.split() for line in capsys.readouterr().out.splitlines())
    assert new == "4/4 2 of 3 1 of 2 3".split()               # C D E F in D, and C8 C: 4 notes, 2
    assert old == "training 2 of 3 0 of 2".split()


def test_a_tune_is_composed_in_its_metre(example, tunes):
    tune = example.compose(example.SequenceModel(len(tunes.ALPHABET), 8, dim=8, heads=2), "3/4", 30,
                           temperature=1.0)
    assert tune[:2] == ["3/4", "0"] and 4 <= len(tune) <= 32
    codes = tunes.coded([tune]).tolist()
    assert all(codes[i] in tunes.can_follow(codes[:i]) for i in range(2, len(codes)))


def test_copied_notes_are_found_in_any_key(example, tunes):
    known = [tunes.symbols("4/4", "C2D2E2F2|G8|"), tunes.symbols("3/4", "c2B2A2|")]
    assert example.copied(tunes.symbols("4/4", "D2E2^F2G2|A8|"), known) == 5
    assert example.copied(tunes.symbols("4/4", "D2E2^F2A2|A8|"), known) == 3
    assert example.copied(tunes.symbols("4/4", "D2E2^F4|"), known) == 3     # the last one's length
    assert example.copied(tunes.symbols("4/4", "DCED|"), known) == 1        # no step is known


def test_the_midi_file_says_the_same(tunes, tmp_path):
    mido = pytest.importorskip("mido")
    path = tmp_path / "tune.mid"
    tune = tunes.symbols("6/8", "C2EG3|c6|")
    tunes.write_midi(tune, str(path))
    file = mido.MidiFile(path)
    metre = next(message for message in file.tracks[0] if message.type == "time_signature")
    assert (metre.numerator, metre.denominator) == (6, 8)
    found, now, begun = [], 0, {}
    for message in file.tracks[0]:
        now += message.time
        if message.type == "note_on":
            begun[message.note] = now
        elif message.type == "note_off":
            found.append((message.note, 2 * (now - begun.pop(message.note)) / file.ticks_per_beat))
    assert found == tunes.notes(tune) and not begun
    assert file.length == pytest.approx(12 * 0.25)                 # an eighth is a quarter second


def test_without_mido_the_error_says_what_to_install(tunes, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'needs mido: python -m pip install "minidl\[music\]"'):
        tunes.write_midi(tunes.symbols("4/4", "C8|"), str(tmp_path / "x.mid"))


@pytest.mark.parametrize("arguments, message", [
    (["--tunes", "0"], "0 is too small, at least 1 is needed"),
    (["--temperature", "0"], "0: a number above 0 is needed"),
    (["--steps", "0"], "0 is too small, at least 4 is needed"),
    (["--midi", "no/such/folder/tune.mid"], "there is no folder"),
    (["--midi", "tune.mid"], 'needs mido: python -m pip install "minidl[music]"'),
])
def test_what_cannot_work_is_refused_before_the_training(example, monkeypatch, capsys, arguments,
                                                         message):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec",
                        lambda name, *rest: None if name == "mido" else find(name, *rest))
    monkeypatch.setattr(sys, "argv", ["music.py", *arguments])
    monkeypatch.setattr(example, "train", lambda *_: pytest.fail("it was trained"))
    with pytest.raises(SystemExit):
        example.main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("asked, tunes", [("", 2), ("--tunes 3", 3)])
def test_tunes_that_are_asked_for_go_before_quick(example, monkeypatch, asked, tunes):
    monkeypatch.setattr(sys, "argv", ["music.py", "--quick", *asked.split()])
    for name in ("train", "compare", "compose"):
        monkeypatch.setattr(example, name, lambda *_: None)
    monkeypatch.setattr(example, "table", lambda made, _: sys.exit(f"{len(made['4/4'])}"))
    with pytest.raises(SystemExit, match=f"^{tunes}$"):
        example.main()


def test_tunes_prints_titles_and_notes():
    done = subprocess.run([sys.executable, str(EXAMPLES / "tunes.py")], capture_output=True,
                          text=True, check=True, timeout=60, encoding="utf-8")
    lines = done.stdout.splitlines()
    assert lines[:3] == ["Ode to Joy, 4/4", "E2E2F2G2|G2F2E2D2|C2C2D2E2|E3DD4|",
                         "E2E2F2G2|G2F2E2D2|C2C2D2E2|D3CC4|"]
    assert done.stdout.count("\n\n") == 34 and max(map(len, lines)) < 80


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path, midi = tmp_path / "music.png", tmp_path / "tune.mid"
    command = [sys.executable, str(EXAMPLES / "music.py"), "--quick", "--out", str(path)]
    if importlib.util.find_spec("mido"):
        command += ["--midi", str(midi)]
    out = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=120,
                          encoding="utf-8").stdout for _ in range(2)]
    assert out[0] == out[1]
    assert ["attention", "32"] in [line.split()[:2] for line in out[0].splitlines()]
    assert "the first, in ABC:" in out[0]
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert not importlib.util.find_spec("mido") or midi.read_bytes()[:4] == b"MThd"
