r"""Pixels are missing: leave the picture out, or fill them in?

Each pixel is missing with probability q: in nine of ten training pictures, and in every test
picture. A network needs all 784 numbers. The document's ways to come by them:

- *deletion*: train on whole pictures alone; a test picture's missing pixels are left out, as if 0;
- *mean, median, maximum* of the pixel's known values, and, as a fourth constant, the *mode*;
- *interpolation* in the row, from the next known pixels; the same in the column; the mean of both:

.. math:: x_p = \frac{b\,x_{p-a} + a\,x_{p+b}}{a + b}

- *regression* of the known pixels on those of the main directions :math:`w_j` of the whole
  training pictures: the eigenvectors of their covariance, as long as the root of the eigenvalue.
  With m, the mean of these pictures, :math:`m + \sum_j z_j w_j` tells the missing pixels:

.. math:: \min_z \sum_{p\text{ known}} (x_p - m_p - \sum_j z_j w_{jp})^2 + \sigma^2 \sum_j z_j^2

.. image:: /images/systems/missing_values.png
   :alt: Digits with missing pixels, filled in every way, and the accuracy against the share missing

With the default arguments (10,000 digits), at q = 0.75: 92 % right with nothing missing; regression
88, interpolation 84, mean, median and mode 76, deletion 65, maximum 47. 85 s on two cores.

Test: tests/test_missing_values.py. Source: D2-MISSING.
"""

from statistics import mode

import numpy as np

import minidl
from minidl import data, nn, optim, plots, script, training


def damaged(n, missing, rng, whole=0.0):
    """Which pixels of `n` pictures are known (n,784); a picture is whole with chance `whole`."""
    if not 0 < missing < 1:
        raise ValueError(f"damaged: missing is {missing}, it must be between 0 and 1")
    return (rng.random((n, 784)) >= missing) | (rng.random((n, 1)) < whole)


def constants(images, known):
    """Mean, median, mode and maximum of each pixel's known values: (N,P) -> each (P,)."""
    if not known.any(0).all():
        raise ValueError(f"constants: pixel {known.any(0).argmin()} is missing in every picture")
    values = [images[k, p] for p, k in enumerate(known.T)]
    functions = {"mean": np.mean, "median": np.median, "mode": mode, "maximum": np.max}
    return {name: np.array([f(v) for v in values]) for name, f in functions.items()}


def along_rows(x, known):
    """Pictures (N,H,W), the ends of whose rows are known: linear between known pixels."""
    places = np.flatnonzero(known)
    return np.interp(np.arange(x.size), places, x.ravel()[places]).reshape(x.shape)


def interpolated(x, known):
    """Pictures x (N,784): the mean of both directions; all round, a border of zeros is known."""
    x, known = (np.pad(a.reshape(-1, 28, 28), ((0, 0), (1, 1), (1, 1)), constant_values=v)
                for a, v in ((x * known, 0), (known, True)))
    down = along_rows(x.swapaxes(1, 2), known.swapaxes(1, 2)).swapaxes(1, 2)
    return ((along_rows(x, known) + down) / 2)[:, 1:-1, 1:-1].reshape(len(x), -1)


def regression(whole, count=50):
    """f(x, known), which fills pictures x (N,P) by what it learns from whole ones (M,P)."""
    if not 0 < count < min(len(whole) - 1, whole.shape[1]):
        raise ValueError(f"regression: count is {count}, it must be above 0, below the pixels and "
                         f"below the whole pictures less 1, got pictures {whole.shape}")
    m, (values, vectors) = whole.mean(0), np.linalg.eigh(np.cov(whole.T))   # the largest come last
    w = np.sqrt(values[-count:, None]) * vectors.T[-count:]                 # (J,P)
    noise = values[:-count].mean() * np.eye(len(w))                         # sigma^2 I

    def fill(x, known):
        x = x.copy()
        for picture, k in zip(x, known):
            a = w[:, k]                                                     # the normal equations
            z = np.linalg.solve(a @ a.T + noise, a @ (picture[k] - m[k]))
            picture[~k] = m[~k] + z @ w[:, ~k]
        return x.clip(0, 1)
    return fill


def fillers(images, known):
    """name -> f(x, known), which fills pictures x (N,P) by what it learned from `images` here."""
    constant = lambda v: lambda x, known: np.where(known, x, v)
    return {"nothing missing": lambda x, known: x, "deletion": constant(0),
            **{name: constant(v) for name, v in constants(images, known).items()},
            "interpolation": interpolated, "regression": regression(images[known.all(1)])}


def accuracy(train_set, test_set, steps, seed=0):
    """Of a small network, on the test set, after `steps` steps of Adam on the training set."""
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    procedure = training.ClassifierSteps(model, optim.Adam(model.parameters()))
    train_set, test_set = ((x.astype(np.float32), y) for x, y in (train_set, test_set))
    loader = data.DataLoader(train_set, 64, shuffle=True, seed=seed)
    for images, labels in loader.batches(steps):
        procedure.step(images, labels)
    return procedure.evaluate(data.DataLoader(test_set, 500))["accuracy"]


def compare(train, test, q, steps, seed):
    """Each way's name, test pictures as it fills them, RMSE of their missing pixels, accuracy."""
    rng = np.random.default_rng(seed)
    images, truth = (part.images.reshape(len(part), -1) / 255 for part in (train, test))
    known, test_known = damaged(len(train), q, rng, whole=0.1), damaged(len(test), q, rng)
    for name, fill in fillers(images, known).items():
        used = known.all(1) if name == "deletion" else slice(None)
        train_set = fill(images[used], known[used]), train.labels[used]
        filled = fill(truth, test_known)
        rmse = np.sqrt(np.mean((filled - truth)[~test_known] ** 2))
        yield name, filled, rmse, accuracy(train_set, (filled, test.labels), steps, seed)


@plots.picture(9, 5)
def draw(figure, sheets, results):
    """`sheets`: name -> a few pictures (N,784); `results`: name -> [(q, accuracy in %)]."""
    left, right = figure.subplots(1, 2)
    left.imshow(plots.tile(np.concatenate([*sheets.values()]).reshape(-1, 1, 28, 28), 6), zorder=1)
    left.set(xticks=[], yticks=16 + 30 * np.arange(len(sheets)), yticklabels=sheets,
             title=f"{results['mean'][0][0]:.0%} of the pixels missing")
    for color, (name, points) in zip(plots.TEN, results.items()):
        right.plot(*zip(*sorted(points)), marker="o", color=color, label=name)
    right.set(xlabel="share of the pixels missing, q", ylabel="% of the test digits right")
    right.legend(loc="lower left")


def main():
    parser = script.parser(__doc__, "missing_values.png", quick="1,000 digits, 50 steps, one Q")
    parser.add_argument("--missing", type=script.between(0, 1), nargs="+", metavar="Q",
                        help="shares of the pixels missing (default .75 .5 .9, with --quick .75)")
    args = parser.parse_args()
    size, steps, shares = (1000, 50, [0.75]) if args.quick else (10000, 1500, [0.75, 0.5, 0.9])
    train, test = data.mnist().train[:size], data.mnist().test[:size // 2]
    sheets, results = {}, {}
    print("   q  way              RMSE of the missing pixels           test digits right")
    for q in args.missing or shares:
        for name, filled, rmse, right in compare(train, test, q, steps, args.seed):
            print(f"{q:5} {name:16}{rmse:27.3f}{right:28.1%}", flush=True)
            results.setdefault(name, []).append((q, 100 * right))
            sheets.setdefault(name, filled[:6])
    draw(sheets, results).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
