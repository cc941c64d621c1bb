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
stand n-gram models, which count what follows n - 1 symbols; these, and the training, are in
examples/sequences.py. Beside a copy of this script must lie that one, tunes.py and data/tunes.abc.

With the default arguments: 1.22 nats a symbol of the held-out tunes; the best n-gram models, n = 3
to 6, have 1.46 to 1.48. Of the bars of thirty new tunes 256 of 263 are full when the metre says so.
25 of the tunes end on C, as 27 of the 30 of training do. The most notes in a row that one of these
has too are 4 to 5.5 (medians). A bar or two sound like music; a plan of the whole, as old tunes
have it, is missing.

.. image:: /images/systems/music.png
    :alt: Cross entropy over the steps of training, and a tune of the model as a piano roll.

``--midi tune.mid`` writes the tune as a Standard MIDI File, by mido: pip install "minidl[music]".

Test: tests/test_music.py. Source: D1-MUSIC.
"""

from itertools import pairwise

import numpy as np
from sequences import compare, curves, train  # these two are in examples/ too
from tunes import (
    ALPHABET,
    BAR,
    TUNES,
    abc,
    can_follow,
    coded,
    ends_on_c,
    midi_problem,
    notes,
    pitch_name,
    read,
    write_midi,
)

import minidl
from minidl import plots, script
from minidl.models.more.transformer import SequenceModel


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


def compose(model: SequenceModel, metre: str, n: int, temperature: float) -> list[str]:
    """A new tune of at most `n` symbols after its metre, from the beginning of a bar on."""
    start = coded([[metre, "0"]]).tolist()
    drawn = model.sample(start, n, temperature, allowed=can_follow)
    return [ALPHABET[i] for i in start + drawn]


def table(made: dict[str, list], training: list[list[str]]) -> None:
    """Print how many bars are full and tunes end on C, new ones and old, and what is copied."""
    print("\ntunes      full bars      end on C   notes in a row as in one of training (median)")
    for name, tunes in {**made, "training": training}.items():
        full = [bar for tune in tunes for bar in full_bars(tune)]
        ends = [ends_on_c(tune) for tune in tunes]
        row = f"{name:9}  {sum(full):4} of {len(full):4}   {sum(ends):2} of {len(ends):2}"
        most = f"   {np.median([copied(tune, training) for tune in tunes]):g}"
        print(row + (most if name in made else ""))


def roll(axes, tune: list[str]) -> None:
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
def draw(figure, history: list[tuple], ngram: float, tune: list[str]) -> None:
    """The curves of training, and a tune."""
    roll(curves(figure, history, ngram), tune)


def main() -> None:
    parser = script.parser(__doc__, picture="music.png", quick="a small model, 20 steps, 2 tunes")
    parser.add_argument("--steps", type=script.at_least(4), help="default 600, with --quick 20")
    parser.add_argument("--tunes", type=script.at_least(1),
                        help="in each metre (default 10, with --quick 2)")
    parser.add_argument("--temperature", type=script.between(0), default=0.8, help="default 0.8")
    parser.add_argument("--midi", type=script.writable, metavar="FILE.mid",
                        help="write the first tune as a Standard MIDI File (default: do not)")
    args = parser.parse_args()
    if args.midi and midi_problem():
        parser.error(midi_problem())
    steps, count, n, options = 600, 10, 300, {"length": 64, "dim": 48, "dropout": 0.2}
    if args.quick:
        steps, count, n, options = 20, 2, 60, {"length": 32, "dim": 16, "depth": 1}
    steps, count = args.steps or steps, args.tunes or count

    minidl.manual_seed(args.seed)
    tunes = list(read(TUNES).values())
    training, held_out = tunes[:-4], tunes[-4:]

    model = SequenceModel(len(ALPHABET), **options)
    rng = np.random.default_rng(args.seed)
    history = train(model, coded(training), coded(held_out), steps, rng)

    ngram = compare(model, coded(training), coded(held_out))
    made = {metre: [compose(model, metre, n, args.temperature) for _ in range(count)]
            for metre in BAR}
    table(made, training)
    tune = made["4/4"][0]
    print(f"\nthe first, in ABC:\n{abc(tune)}")
    draw(history, ngram, tune).savefig(args.out)
    print(f"picture: {args.out}")
    if args.midi:
        write_midi(tune, args.midi)
        print(f"MIDI file: {args.midi}")


if __name__ == "__main__":
    script.run(main)
