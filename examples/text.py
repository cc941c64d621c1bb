r"""A character model writes sonnets: attention to what came before.

The model reads a text of characters :math:`s_1 \dots s_T` and says, at each place, how likely each
character is to come next. In every block each place asks the places before it, itself included, by
the attention of document D3; the places after it get the weight 0, so that the answer is not seen:

.. math::
    p(s_1 \dots s_T) = \prod_t p(s_t \mid s_1 \dots s_{t-1}), \qquad
    \alpha_{ts} = \frac{\exp(q_t \cdot k_s / \sqrt d)}{\sum_{r \le t} \exp(q_t \cdot k_r / \sqrt d)}
    \quad (s \le t).

It learns by the cross entropy, and writes by drawing :math:`s_t` from
:math:`\mathrm{softmax}(\text{logits} / \tau)`, one character after the other: at a low temperature
:math:`\tau` what is likeliest, at a high one what is seldom too.

The text is 44 of Shakespeare's sonnets (1609; examples/data/sonnets.txt, 27,000 characters, in
modern spelling). The last four are held out. On them the model is compared with n-gram models,
which count what follows n - 1 characters; these, and the training, are in examples/sequences.py.
Beside a copy of this script must lie sequences.py and data/sonnets.txt.

With the default arguments: 1.76 nats a character of the held-out sonnets; n-gram models with n = 3,
4, 5, 6 have 2.02, 1.87, 1.84, 1.84. At temperature 0.3 it writes "When the with the summer's fair
the shall sweet", at 0.7 "And like and thing as my live shadows deep again", at 1.2 words that do
not exist: lines, spelling and the habits of a sonnet are learnt, sense is not, from so short a
text. In the picture (a held-out line, mean over blocks and heads) each character takes a third of
what it sees from the one before it and a fifth from the one before that; a few letters, commas
too, are looked at from far away, the spaces hardly.

.. image:: /images/systems/text.png
    :alt: Cross entropy over the steps of training, and what each character of a line attends to.

Test: tests/test_text.py. Source: D1-TEXT.
"""

from pathlib import Path

import numpy as np
from sequences import compare, curves, train  # examples/sequences.py

import minidl
from minidl import plots, script
from minidl.models.more.transformer import SequenceModel

SONNETS = Path(__file__).parent / "data" / "sonnets.txt"


def read(path: Path, held_out: int) -> tuple[str, str]:
    """Poems parted by empty lines: the text of all but the last `held_out`, and of those."""
    poems = path.read_text(encoding="utf-8").strip().split("\n\n")
    if not 0 < held_out < len(poems):
        raise ValueError(f"read: held_out={held_out}, it must be 1 to {len(poems) - 1}")
    return "\n\n".join(poems[:-held_out]) + "\n\n", "\n\n".join(poems[-held_out:]) + "\n"


def coded(text: str, alphabet: str) -> np.ndarray:
    """The place of each character in `alphabet`."""
    if unknown := set(text) - set(alphabet):
        raise ValueError(f"coded: {''.join(sorted(unknown))!r} is not in the alphabet {alphabet!r}")
    return np.array([alphabet.index(c) for c in text])


def write(model: SequenceModel, alphabet: str, n: int, temperature: float) -> str:
    """`n` characters, from the beginning of a poem on."""
    return "".join(alphabet[c] for c in model.sample(coded("\n\n", alphabet), n, temperature))


def attention(model: SequenceModel, line: str, alphabet: str) -> np.ndarray:
    """What each character of a line attends to, mean over blocks and heads: (S, S)."""
    model.eval()
    maps = model.attention_maps(minidl.tensor(coded(line, alphabet)[None])).numpy()
    return maps[0].mean((0, 1))


@plots.picture(9, 4.2)
def draw(figure, history: list[tuple], ngram: float, line: str, attended: np.ndarray) -> None:
    """The curves of training; the attention (S, S) of the characters of a line to each other."""
    axes = curves(figure, history, ngram)
    axes.imshow(attended, cmap="Blues", vmax=0.4)
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks(range(len(line)), line, fontsize=7, family="monospace")
    axes.grid(False)
    axes.set_title("What each character (down) attends to (across)")


def main() -> None:
    parser = script.parser(__doc__, picture="text.png", quick="a small model, 20 steps")
    parser.add_argument("--steps", type=script.at_least(4),
                        help="default 2500, with --quick 20; at least 4")
    parser.add_argument("--temperature", type=script.between(0), nargs="+",
                        default=[0.3, 0.7, 1.2],
                        help="to write at, one or several (default 0.3 0.7 1.2)")
    args = parser.parse_args()
    steps, n, options = 2500, 500, {"length": 64, "dim": 96, "dropout": 0.2}
    if args.quick:
        steps, n, options = 20, 60, {"length": 32, "dim": 16}
    steps = args.steps or steps

    minidl.manual_seed(args.seed)
    texts = read(SONNETS, held_out=4)
    alphabet = "".join(sorted(set("".join(texts))))
    training, held_out = (coded(text, alphabet) for text in texts)

    model = SequenceModel(len(alphabet), **options)
    history = train(model, training, held_out, steps, np.random.default_rng(args.seed))

    ngram = compare(model, training, held_out)
    for temperature in args.temperature:
        print(f"\nat temperature {temperature}:\n{write(model, alphabet, n, temperature)}")

    line = texts[1].splitlines()[0][:model.length]
    attended = attention(model, line, alphabet)
    back = [f"{attended.diagonal(-places).mean():.2f}" for places in range(4)]
    print(f"\nattention to the character 0, 1, 2, 3 places back: {', '.join(back)}")
    draw(history, ngram, line, attended).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
