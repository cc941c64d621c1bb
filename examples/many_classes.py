r"""More than two classes out of yes and no: one-vs-all, one-vs-one, several labels or numbers.

Models that only say yes (z > 0) or no are enough for ten classes. Model k learns to tell the
classes c with :math:`M_{ck} = 1` from those with :math:`M_{ck} = -1`, and never sees those with 0.
Each is linear, :math:`z_{nk} = w_k \cdot x_n + b_k`: together one layer, whose rows share nothing.

.. math:: L = \frac{\sum_{n,k} |M_{y_n k}| \log(1 + e^{-M_{y_n k} z_{nk}})}{\sum_{n,k} |M_{y_n k}|}

- *one-vs-all*: 10 models, each for one class against all others. The largest z wins;
- *one-vs-one*: 45 models, each for one class against one other. Most votes win, then sureness.

Two digits in one picture have no single class. A network with ten outputs learns for each class c

- *multi-label classification*: is there a c? Targets 0 and 1, binary cross entropy;
- *multi-label regression*: how many c are there? Targets 0, 1 and 2, mean squared error.

.. image:: /images/systems/many_classes.png
   :alt: The errors of the 45 models of two digits; pictures of two digits and what they were called

With the default arguments: softmax 92.5 % right, one-vs-all 91.5, one-vs-one 94.0. Of the pictures
with two digits 91 % are all right, by which (F1 0.970) and how many (0.973). 75 s on two cores.

Test: tests/test_many_classes.py. Source: D2-MULTI.
"""

import argparse
from itertools import chain, combinations, repeat

import numpy as np

import minidl
from minidl import data, metrics, nn, optim, plots
from minidl import functional as F

CLASSES = 10
PAIRS = list(combinations(range(CLASSES), 2))
EYE = np.eye(CLASSES, dtype=np.float32)
ONE_VS_ALL = 2 * EYE - 1                                                            # M (10, 10)
ONE_VS_ONE = np.stack([EYE[a] - EYE[b] for a, b in PAIRS], 1)                       # M (10, 45)


def code_loss(z, y, m):
    """The formula above: logits z (N,K), class numbers y (N,), M (C,K)."""
    sign = minidl.tensor(m)[y]
    return (sign.abs() * F.softplus(-sign * z)).sum() / sign.abs().sum()


def votes(z, m):
    """(N,C): how many models spoke for the class, and less than a vote for how sure they were."""
    for_class = m * z[:, None]                                                      # (N,C,K)
    sure = (abs(m) / (1 + np.exp(-for_class))).sum(2) / abs(m).sum(1)               # in (0, 1)
    return (for_class > 0).sum(2) + 0.999 * sure


def two_digits(images, labels, n, rng):
    """`n` pictures (n,1,32,48) of two of the digits each, and how many of each class (n,10)."""
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"two_digits: images must be (N, 28, 28), got {images.shape}")
    pictures, many = np.zeros((n, 1, 32, 48), images.dtype), np.zeros((n, CLASSES), np.float32)
    for i, digits in enumerate(rng.integers(len(images), size=(n, 2))):
        for digit, left in zip(digits, (0, 16)):
            y, x = rng.integers(0, 5, 2) + (0, left)
            part = pictures[i, 0, y:y + 28, x:x + 28]
            np.maximum(part, images[digit], out=part)
            many[i, labels[digit]] += 1
    return pictures, many


def picture_network():
    return nn.Sequential(nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(),         # 32 x 48 -> 14 x 22
                         nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),  # -> 6 x 10
                         nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(),    # -> 4 x 8
                         nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, CLASSES))


def learned(model, loss_of, x, y, asked, steps, seed=0):
    """What the model says of `asked` after `steps` steps of Adam on loss_of(model(x), y)."""
    optimizer = optim.Adam(model.parameters())
    loader = data.DataLoader((x, y), 64, shuffle=True, seed=seed)
    for step, (images, targets) in zip(range(steps), chain.from_iterable(repeat(loader))):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        loss = loss_of(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with minidl.no_grad():
        return np.concatenate([model(x).numpy() for (x,) in data.DataLoader((asked,), 500)])


@plots.picture(9, 4.5)
def draw(figure, wrong, pictures, texts):
    """`wrong` (C,C): % of digits a that the model of a and b called b; 12 pictures with a text."""
    left, right = figure.subplots(1, 2)
    left.imshow(wrong, cmap="Oranges", vmax=10)
    left.grid(False)
    for (a, b), value in np.ndenumerate(wrong):
        left.text(b, a, f"{value:.1f}" if a != b else "", ha="center", va="center", fontsize=8)
    left.set(title="a against b: % of the a that are called b", xlabel="b", ylabel="a",
             xticks=range(CLASSES), yticks=range(CLASSES))
    for i, (picture, text) in enumerate(zip(pictures, texts)):
        x, y = 56 * (i % 3), 52 * (i // 3)
        right.imshow(picture[0], cmap="gray", extent=(x, x + 48, y + 32, y))
        right.text(x, y + 34, text, va="top", fontsize=8)
    right.set(title="Two digits: which, and how many?", xlim=(-2, 162), ylim=(206, -2))
    right.axis("off")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="2,000 digits, 50 steps")
    parser.add_argument("--out", default="many_classes.png", metavar="FILE.png")
    args = parser.parse_args()
    steps, n = (50, 2000) if args.quick else (3000, 60000)
    train, test = data.mnist().train[:n], data.mnist().test[:n // 4]
    minidl.manual_seed(args.seed)
    def linear(k, loss):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, k))
        return learned(model, loss, *train.arrays, test.images, steps, args.seed)
    scores = {"softmax": linear(CLASSES, F.cross_entropy)}
    scores["one-vs-all"] = linear(CLASSES, lambda z, y: code_loss(z, y, ONE_VS_ALL))
    z = linear(45, lambda z, y: code_loss(z, y, ONE_VS_ONE))
    scores["one-vs-one"] = votes(z, ONE_VS_ONE)
    for name, score in scores.items():
        print(f"{name:12}{metrics.accuracy(test.labels, score.argmax(1)):8.2%} of the digits right")
    yes = (scores["one-vs-all"] > 0).sum(1)
    print(f"one-vs-all: no yes for {np.mean(yes == 0):.1%}, several for {np.mean(yes > 1):.1%}")
    wrong = np.zeros((CLASSES, CLASSES))
    for k, (a, b) in enumerate(PAIRS):
        wrong[a, b] = 100 * np.mean(z[test.labels == a, k] <= 0)
        wrong[b, a] = 100 * np.mean(z[test.labels == b, k] > 0)
    rng = np.random.default_rng(args.seed)
    x, many = two_digits(train.images[:, 0], train.labels, n // 2, rng)
    asked, truth = two_digits(test.images[:, 0], test.labels, len(test) // 2, rng)
    rest = asked, steps, args.seed
    there = learned(picture_network(), nn.BCEWithLogitsLoss(), x, many.clip(0, 1), *rest) > 0
    count = learned(picture_network(), nn.MSELoss(), x, many, *rest).round()
    for name, found, target in (("which digits?", there, truth > 0), ("how many?", count, truth)):
        f1 = metrics.f1((target > 0).ravel(), (found > 0).ravel(), "binary")
        print(f"{name:14}{np.mean((found == target).all(1)):7.2%} of the pictures all right, "
              f"F1 of all labels {f1:.3f}")
    listed = lambda values: " ".join(f"{c}" * int(n) for c, n in enumerate(values) if n > 0)
    texts = [f"which: {listed(a)}\nhow many: {listed(b)}" for a, b in zip(there[:12], count[:12])]
    draw(wrong, asked[:12], texts).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    main()
