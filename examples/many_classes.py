r"""More than two classes out of yes and no: one-vs-all, one-vs-one, several labels or numbers.

Models that say yes (z > 0) or no can tell ten classes apart: :math:`z_{nk} = w_k \cdot x_n + b_k`.
Model k says yes to classes c with :math:`M_{ck} = 1`, no to -1; it never sees those with 0.

.. math:: L = \frac{\sum_{n,k} |M_{y_n k}| \log(1 + e^{-M_{y_n k} z_{nk}})}{\sum_{n,k} |M_{y_n k}|}

- *one-vs-all*: 10 models, each for one class against all others. The largest z wins;
- *one-vs-one*: 45 models, each for one of two classes. Most votes win; if equal, the surer ones.

Two digits in one picture: ten outputs say of each class whether it is there (*multi-label
classification*, binary cross entropy) or how often (*multi-label regression*, mean squared error).

.. image:: /images/systems/many_classes.png
   :alt: The errors of the 45 models of two digits; pictures of two digits and what they were called

With the default arguments: softmax 92.5 % right, one-vs-all 91.5, one-vs-one 94.0. Of the pictures
with two digits 91 % are all right, by which (F1 0.970) and how many (0.973). 140 s on two cores.
Test: tests/test_many_classes.py. Source: D2-MULTI.
"""

import numpy as np

import minidl
from minidl import data, metrics, nn, optim, plots, script, training

CLASSES = 10
PAIRS = [(a, b) for a in range(CLASSES) for b in range(a + 1, CLASSES)]
ONE_VS_ALL = 2 * np.eye(CLASSES, dtype=np.float32) - 1                              # M (10, 10)
ONE_VS_ONE = np.stack([ONE_VS_ALL[a] - ONE_VS_ALL[b] for a, b in PAIRS], 1) / 2     # M (10, 45)


def code_loss(z, y, m):
    """The formula above: logits z (N,K), class numbers y (N,), M (C,K)."""
    sign = minidl.tensor(m)[y]
    return (sign.abs() * minidl.functional.softplus(-sign * z)).sum() / sign.abs().sum()


def votes(z, m):
    """(N,C): how many models spoke for the class, and less than a vote for how sure they were."""
    for_class = (m * z[:, None]).clip(-80)             # (N,C,K); exp(89) is no float32
    sure = (abs(m) / (1 + np.exp(-for_class))).sum(2) / abs(m).sum(1)       # in (0, 1)
    return (for_class > 0).sum(2) + 0.999 * sure       # no whole vote, even if rounded to 1


def confusions(z, labels):
    """(C,C): what % of the digits a the model of a and b calls b, at row a; z (N,45)."""
    wrong = np.zeros((CLASSES, CLASSES))
    for k, (a, b) in enumerate(PAIRS):
        wrong[a, b], wrong[b, a] = np.sum(z[labels == a, k] <= 0), np.sum(z[labels == b, k] > 0)
    return 100 * wrong / np.bincount(labels, minlength=CLASSES).clip(1)[:, None]


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


def network():
    return nn.Sequential(nn.Conv2d(1, 16, 5, stride=2), nn.ReLU(),         # 32 x 48 -> 14 x 22
                         nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2),  # -> 6 x 10
                         nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(),    # -> 4 x 8
                         nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, CLASSES))


def learned(name, model, loss_of, examples, asked, steps, seed=0):
    """What the model says of `asked` after `steps` steps of Adam on loss_of(model(x), y)."""
    optimizer = optim.Adam(model.parameters())
    loader = data.DataLoader(examples, 64, shuffle=True, seed=seed)
    for step, (x, y) in enumerate(loader.batches(steps)):
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        loss = loss_of(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % 500 == 0:
            print(f"{name}: step {step + 1} of {steps}, loss {loss.item():.4f}", flush=True)
    return training.predict(model, asked)


def one_digit(train, test, steps, seed):
    """Linear models learn the digits; what % of them each of the 45 calls wrong, (C,C)."""
    linear = lambda name, k, loss_of: learned(name, nn.Sequential(
        nn.Flatten(), nn.Linear(784, k)), loss_of, train, test.images, steps, seed)
    softmax = linear("softmax", CLASSES, nn.CrossEntropyLoss())
    z = linear("one-vs-all", CLASSES, lambda z, y: code_loss(z, y, ONE_VS_ALL))
    pair_z = linear("one-vs-one", len(PAIRS), lambda z, y: code_loss(z, y, ONE_VS_ONE))
    scores = {"softmax": softmax, "one-vs-all": z, "one-vs-one": votes(pair_z, ONE_VS_ONE)}
    for name, score in scores.items():
        print(f"{name:12}{metrics.accuracy(test.labels, score.argmax(1)):8.2%} of the digits right")
    yes = (z > 0).sum(1)
    print(f"one-vs-all: no yes for {np.mean(yes == 0):.1%}, several for {np.mean(yes > 1):.1%}")
    return confusions(pair_z, test.labels)


def both_digits(train, test, steps, seed):
    """Networks learn pictures of two digits; test pictures, which they find there, how many."""
    rng = np.random.default_rng(seed)
    x, many = two_digits(train.images[:, 0], train.labels, len(train) // 2, rng)
    asked, truth = two_digits(test.images[:, 0], test.labels, len(test) // 2, rng)
    learn = lambda name, loss_of, y: learned(name, network(), loss_of, (x, y), asked, steps, seed)
    there = learn("which digits?", nn.BCEWithLogitsLoss(), many.clip(0, 1)) > 0
    count = learn("how many?", nn.MSELoss(), many).round()
    for name, found, target in (("which digits?", there, truth > 0), ("how many?", count, truth)):
        f1 = metrics.f1((target > 0).ravel(), (found > 0).ravel(), "binary")
        print(f"{name:14}{np.mean((found == target).all(1)):7.2%} of the pictures all right, "
              f"F1 of all labels {f1:.3f}")
    return asked, there, count


@plots.picture(9, 4.5)
def draw(figure, wrong, pictures, there, count):
    """`wrong`: of `confusions`; pictures of two digits, and which and how many were found there."""
    left, right = figure.subfigures(1, 2)
    axes = left.subplots()
    axes.imshow(wrong, cmap="Oranges", vmax=10, zorder=1)
    for (a, b), value in np.ndenumerate(wrong):
        axes.text(b, a, f"{value:.1f}" if a != b else "", ha="center", va="center", fontsize=8,
                  color="white" if value > 6 else "black")
    axes.set(title="a against b: % of the a that are called b", xlabel="b", ylabel="a",
             xticks=range(CLASSES), yticks=range(CLASSES))
    right.suptitle("Two digits: which, and how many?", fontsize=11)
    listed = lambda n: " ".join(map(str, np.arange(10).repeat(n.astype(int).clip(0)))) or "none"
    for axes, picture, a, b in zip(right.subplots(4, 3).flat, pictures, there, count):
        axes.imshow(picture[0], cmap="gray")
        axes.set(xticks=[], yticks=[], xlabel=f"which: {listed(a)}\nhow many: {listed(b)}")


def main():
    args = script.parser(__doc__, "many_classes.png", quick="2,000 digits, 50 steps").parse_args()
    steps, n = (50, 2000) if args.quick else (3000, 60000)
    train, test = data.mnist().train[:n], data.mnist().test[:n // 4]
    minidl.manual_seed(args.seed)
    wrong = one_digit(train, test, steps, args.seed)
    draw(wrong, *both_digits(train, test, steps, args.seed)).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
