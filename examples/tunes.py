"""Tunes as sequences of symbols, from ABC notation, and to MIDI.

ABC notation writes a tune as text: a letter is a note (C is middle C, c the C above, C, the one
below), a number its length, here in eighths, ^ a sharp and | a bar line: "G2E2G4|". For a model
(examples/music.py) that becomes the symbols "4/4 0 G 2 E 4 G 8 | end": the metre; where in its bar
the tune begins; then each pitch, and where in the bar it ends, in eighths; bar lines; the end.
Since the place in the bar is written down, nobody has to add up lengths to know when it is full.

As a script it prints the tunes of examples/data/tunes.abc, all of the public domain: title, metre,
and the notes, four bars to a line.

Test: tests/test_music.py. Source: D1-MUSIC.
"""

import importlib.util
import re
from itertools import pairwise
from pathlib import Path

import numpy as np

TUNES = Path(__file__).parent / "data" / "tunes.abc"
BAR, END = {"4/4": 8, "3/4": 6, "6/8": 6}, "end"                         # lengths in eighths
NOTE = r"(\^?[A-Ga-g][,']*)([1-8]?)"                                     # pitch and length


def pitch_name(midi: int) -> str:
    """In ABC: C is 60, c an octave above, C, an octave below; ^ a sharp."""
    name, octave = "C ^C D ^D E F ^F G ^G A ^A B".split()[midi % 12], midi // 12 - 5
    return name.lower() + "'" * (octave - 1) if octave > 0 else name + "," * -octave


PITCHES = {pitch_name(midi): midi for midi in range(45, 85)}
ALPHABET = [END, "|", *BAR, *map(str, range(9)), *PITCHES]


def symbols(metre: str, body: str) -> list[str]:
    """"G2E2G4|" -> ["4/4", "0", "G", "2", "E", "4", "G", "8", "|", END]."""
    if metre not in BAR:
        raise ValueError(f"symbols: metre must be one of {', '.join(BAR)}, got {metre!r}")
    *bars, rest = body.split("|")
    if rest or not bars:
        raise ValueError(f"symbols: a tune must end in a bar line |, got {body[-12:]!r} at its end")
    found, (low, *_, high) = [], PITCHES
    for bar in bars:
        notes = re.findall(NOTE, bar)
        length = sum(int(n or 1) for _, n in notes)
        if "".join(p + n for p, n in notes) != bar or not 0 < length <= BAR[metre]:
            raise ValueError(f"symbols: {bar!r} is no bar of notes, 1 to {BAR[metre]} eighths")
        for pitch, _ in notes:
            if pitch not in PITCHES:
                raise ValueError(f"symbols: {pitch!r} is no pitch from {low} to {high}")
        at = 0 if found else BAR[metre] - length                        # a short one leads in
        found = found or [metre, str(at)]
        for pitch, n in notes:
            at += int(n or 1)
            found += [pitch, str(at)]
        found.append("|")
    return [*found, END]


def read(path: Path) -> dict[str, list[str]]:
    """The symbols of each tune of an ABC file, by title."""
    tunes = {}
    for block in path.read_text(encoding="utf-8").split("X:")[1:]:
        lines = block.split("\n")[1:]
        field = {line[0]: line[2:] for line in lines if line[1:2] == ":"}
        body = "".join(line for line in lines if line[1:2] != ":")
        tunes[field["T"]] = symbols(field["M"], body)
    return tunes


def coded(tunes: list[list[str]]) -> np.ndarray:
    """One tune after the other, each symbol as its place in ALPHABET."""
    return np.array([ALPHABET.index(symbol) for tune in tunes for symbol in tune])


def abc(tune: list[str]) -> str:
    """The other way round: ["4/4", "0", "G", "2", "E", "4", "G", "8", "|", END] -> "G2E2G4|"."""
    text, at = "", int(tune[1])
    for symbol, place in pairwise(tune[2:]):
        if symbol in PITCHES:
            length, at = int(place) - at, int(place)
            text += symbol + (str(length) if length > 1 else "")
        elif symbol == "|":
            text, at = text + "|", 0
    return text


def notes(tune: list[str]) -> list[tuple[int, int]]:
    """(MIDI pitch, length in eighths) of each note."""
    return [(PITCHES[p], int(n or 1)) for p, n in re.findall(NOTE, abc(tune))]


def ends_on_c(tune: list[str]) -> bool:
    """Is it at its end, and the last note a C, in whatever octave?"""
    return tune[-1] == END and notes(tune)[-1][0] % 12 == 0


def can_follow(so_far: list[int]) -> list[int]:
    """What may come next, for :meth:`SequenceModel.sample`, as places in ALPHABET: after a pitch a
    later place, else a pitch or, unless nothing was played yet, a bar line; after that also END."""
    *_, before, last = (ALPHABET[i] for i in so_far)
    if last in PITCHES:
        begin = 0 if before == "|" else int(before)
        return [i for i, s in enumerate(ALPHABET) if s.isdigit() and int(s) > begin]
    closing = END if last == "|" else "|" if before in PITCHES else None
    return [] if last == END else [i for i, s in enumerate(ALPHABET)
                                   if s == closing or (s in PITCHES and last != "8")]


def midi_problem() -> str | None:
    """Why no MIDI file can be written here, and what to install; None if it can."""
    if importlib.util.find_spec("mido"):
        return None
    return 'a MIDI file needs mido: python -m pip install "minidl[music]"'


def write_midi(tune: list[str], path: str | Path) -> None:
    """A Standard MIDI File; an eighth is half a beat of 120 a minute."""
    if missing := midi_problem():
        raise ImportError(f"write_midi: {missing}")
    import mido
    numerator, denominator = map(int, tune[0].split("/"))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(120)),
                            mido.MetaMessage("time_signature", numerator=numerator,
                                             denominator=denominator)])
    for pitch, length in notes(tune):
        track += [mido.Message("note_on", note=pitch, velocity=80, time=0),
                  mido.Message("note_off", note=pitch, time=240 * length)]
    mido.MidiFile(tracks=[track], ticks_per_beat=480).save(path)


if __name__ == "__main__":
    for title, tune in read(TUNES).items():
        lines = re.sub(r"((?:[^|]+\|){4})(?=.)", r"\1\n", abc(tune))
        print(f"{title}, {tune[0]}\n{lines}\n")
