r"""A model of notes makes up tunes: attention to what was played before.

A tune is a sequence of symbols (examples/tunes.py): its metre, then pitches, each with the place in
the bar where it ends, and bar lines. The model is that of examples/text.py, causal attention,

.. math::
    p(s_1 \dots s_T) = \prod_t p(s_t \mid s_1 \dots s_{t-1}), \qquad
    s_t \sim \mathrm{softmax}(\text{logits} / \tau),

and a new tune is drawn from it symbol by symbol, at the temperature :math:`\tau`. What is no tune
at all is never drawn: a pitch is followed by a later place, that by a pitch or a bar line. But when
a bar is full the model must know from the metre, and which notes go together from the tunes.

These are 34 old ones of the public domain (examples/data/tunes.abc, each with its composer or as
traditional, and its year), in C major but for two. The last four are held out. Beside the model
stands counting what follows k symbols; that, and the training, are in examples/sequences.py.

With the default arguments: 1.23 nats a symbol of the held-out tunes; counting after one, two, three
symbols gives 1.84, 1.45, 1.43. Of the bars of thirty new tunes 256 of 263 are full when the metre
says so, and 25 of the tunes end on C. The most notes in a row that an old tune has too are 4 to
5.5 (medians). A bar or two sound like music; a plan of the whole, as old tunes have it, is missing.

.. image:: /images/systems/music.png
    :alt: Cross entropy over the steps of training, and a tune of the model as a piano roll.

``--midi tune.mid`` writes the tune as a Standard MIDI File, by mido: pip install "minidl[music]".

Test: tests/test_music.py. Source: D1-MUSIC.
"""

import argparse
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sequences import counting, curves, train  # these two are in examples/ too
from tunes import (
    ALPHABET,
    BAR,
    TUNES,
    abc,
    can_follow,
    coded,
    notes,
    pitch_name,
    read,
    write_midi,
)

import minidl
from minidl import plots
from minidl.models.attention import SequenceModel


def full_bars(tune: list[str]) -> list[bool]:
    """Of each bar but the last, which may be cut for the lead-in: does it end when it is full?"""
    return [int(place) == BAR[tune[0]] for place, s in pairwise(tune) if s == "|"][:-1]


def copied(tune: list[str], tunes: list[list[str]]) -> int:
    """The most notes in a row that one of `tunes` has too, in whatever key."""
    def runs(tune, n):
        steps = [(length, q - p) for (p, length), (q, _) in pairwise(notes(tune))]
        return {tuple(steps[i:i + n]) for i in range(len(steps) - n + 1)}

    n = 0
    while runs(tune, n + 1) & set().union(*(runs(other, n + 1) for other in tunes)):
        n += 1
    return n + 1


def roll(axes: Axes, tune: list[str]) -> None:
    """`tune` as a piano roll: time across, pitch up, a grid line for each bar."""
    pitches, lengths = map(np.array, zip(*notes(tune)))
    end, bar = int(tune[1]) + lengths.cumsum(), BAR[tune[0]]
    axes.barh(pitches, lengths - 0.25, left=end - lengths, height=0.8, color=plots.ORANGE)
    shown = range(pitches.min(), pitches.max() + 1)
    axes.set_yticks(shown, [pitch_name(p) for p in shown], fontsize=7, family="monospace")
    axes.set_xticks(range(0, end[-1] + bar, bar))
    axes.set_title(f"A new tune, in {tune[0]}")
    axes.set_xlabel("eighths; a line a bar")
    axes.grid(axis="y", alpha=0.4)


@plots.picture(9, 4.2)
def draw(figure: Figure, history: list, counted: list, tune: list[str]) -> None:
    """The curves of training, and a tune."""
    roll(curves(figure, history, counted), tune)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--tunes", type=int, default=10, help="tunes to make up in each metre")
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--quick", action="store_true", help="a small model, 20 steps, 2 tunes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="music.png", metavar="FILE.png")
    parser.add_argument("--midi", help="Standard MIDI File to write, such as tune.mid")
    args = parser.parse_args()
    options = {"length": 64, "dim": 48, "dropout": 0.2}
    if args.quick:
        args.steps, args.tunes, options = 20, 2, {"length": 32, "dim": 16, "depth": 1}

    minidl.manual_seed(args.seed)
    tunes = list(read(TUNES).values())
    learnt, held_out = tunes[:-4], tunes[-4:]
    codes, judges = coded(learnt), coded(held_out)
    model = SequenceModel(len(ALPHABET), **options)
    history = train(model, codes, judges, args.steps, np.random.default_rng(args.seed))

    counted = [counting(codes, judges, k, len(ALPHABET)) for k in range(5)]
    print("\nnats a symbol of the held-out tunes")
    for k, value in enumerate(counted):
        print(f"counting, {k} before        {value:.3f}")
    print(f"the model, {model.length - 1} at most     {history[-1][2]:.3f}")

    print(f"\nnew tunes, temperature {args.temperature}\n"
          "metre   full bars  most notes in a row as in a tune (median)")
    made = {}
    for metre in BAR:
        start = coded([[metre, "0"]]).tolist()
        made[metre] = [[ALPHABET[i] for i in start + model.sample(
            start, 60 if args.quick else 300, args.temperature, allowed=can_follow)]
            for _ in range(args.tunes)]
        full = [full for tune in made[metre] for full in full_bars(tune)]
        most = np.median([copied(tune, learnt) for tune in made[metre]])
        print(f"{metre}    {sum(full):3} of {len(full):3}  {most:g}")
    tune = made["4/4"][0]
    print(f"\nthe first, in ABC:\n{abc(tune)}")
    if args.midi:
        write_midi(tune, args.midi)
    draw(history, counted, tune).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    main()
