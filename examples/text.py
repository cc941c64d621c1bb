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
modern spelling). The last four are held out. On them the model is compared with counting what
follows k characters; that, and the training, are in examples/sequences.py.

With the default arguments: 1.77 nats a character of the held-out sonnets; counting after two, four,
five characters gives 2.02, 1.87, 1.89. At temperature 0.3 it writes "When the with the summer's
fair the shall sweet", at 0.7 "And like and thing as my live shadows deep again", at 1.2 words that
do not exist: lines, spelling and the habits of a sonnet are learnt, sense is not, from so short a
text. In the picture (a held-out line, mean over blocks and heads) each character looks at the one
or two before it, and a little at the spaces, which is where its word begins.

.. image:: /images/systems/text.png
    :alt: Cross entropy over the steps of training, and what each character of a line attends to.

Test: tests/test_text.py. Source: D1-TEXT.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sequences import counting, curves, train  # examples/sequences.py

import minidl
from minidl import plots
from minidl.models.attention import SequenceModel

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


@plots.picture(9, 4.2)
def draw(figure: Figure, history: list, counted: list, line: str, attention: np.ndarray) -> None:
    """The curves of training; the attention (S, S) of the characters of a line to each other."""
    axes = curves(figure, history, counted)
    axes.imshow(attention, cmap="Blues", vmax=0.4)
    for ticks in (axes.set_xticks, axes.set_yticks):
        ticks(range(len(line)), line, fontsize=7, family="monospace")
    axes.grid(False)
    axes.set_title("What each character (down) attends to (across)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--temperature", type=float, nargs="+", default=[0.3, 0.7, 1.2])
    parser.add_argument("--quick", action="store_true", help="a small model, 20 steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="text.png", metavar="FILE.png")
    args = parser.parse_args()
    steps, n, options = args.steps, 500, {"length": 64, "dim": 96, "dropout": 0.2}
    if args.quick:
        steps, n, options = 20, 60, {"length": 32, "dim": 16}

    minidl.manual_seed(args.seed)
    texts = read(SONNETS, held_out=4)
    alphabet = "".join(sorted(set("".join(texts))))
    learnt, held_out = (coded(text, alphabet) for text in texts)
    model = SequenceModel(len(alphabet), **options)
    history = train(model, learnt, held_out, steps, np.random.default_rng(args.seed))

    counted = [counting(learnt, held_out, k, len(alphabet)) for k in range(6)]
    print("\nnats a character of the held-out sonnets")
    for k, value in enumerate(counted):
        print(f"counting, {k} before        {value:.3f}")
    print(f"the model, {model.length - 1} at most     {history[-1][2]:.3f}")
    for temperature in args.temperature:
        written = model.sample(coded("\n\n", alphabet), n, temperature)
        print(f"\nat temperature {temperature}:\n" + "".join(alphabet[c] for c in written))
    model.eval()
    line = texts[1].splitlines()[0][:model.length]
    maps = model.attention_maps(minidl.tensor(coded(line, alphabet)[None])).numpy()[0]
    draw(history, counted, line, maps.mean((0, 1))).savefig(args.out)      # over blocks and heads
    print(f"picture: {args.out}")


if __name__ == "__main__":
    main()
