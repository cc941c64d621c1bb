r"""Four searches for good hyper-parameters: grid, random, Bayesian, guided by a random forest.

.. image:: /images/systems/tune.png
   :alt: The lowest loss so far over the trials of each search, and the loss of every trial.

A trial trains a small network on 2,000 digits and measures its cross entropy on 1,000 others.
Looked for are learning rate, batch size and width, each :math:`v(u) = l\,(h/l)^u` between its ends
:math:`l` and :math:`h`, :math:`u \in [0,1]`. **Grid** search tries every crossing of a lattice,
**random** search draws :math:`u`; so does a guided search in its first quarter. From then on a
model of its trials, scikit-learn's, gives mean :math:`\mu` and deviation :math:`\sigma` of the
logarithm of the loss at any :math:`u`. It is a Gaussian process (**bayesian**) or a random
**forest**. The next trial is, out of 1,000 drawn, the one of the lowest

.. math:: \mu(u) - \kappa\,\sigma(u), \qquad \kappa = 1.5:

either it should be good, or little is known of it. A stopped search goes on. Lowest losses by
default: forest 0.166, bayesian 0.181, random 0.193, grid 0.200; ``--runs 3`` shows the luck in it.
Source: D2-TUNE. Test: tests/test_tune.py.
"""

import argparse
import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import minidl
from minidl import data, nn, optim, plots
from minidl.training import ClassifierSteps

SPACE = {"lr": [1e-4, 1e-1], "batch": [16, 256], "width": [4, 32]}
COLORS = {"grid": plots.GREY, "random": plots.BLUE, "bayesian": plots.ORANGE, "forest": "#2f9e68"}


def decode(u, space: dict) -> dict:
    """The values at u in [0,1]^D, whole numbers where the ends are. Refuses an empty space."""
    empty = {n: ends for n, ends in space.items() if not 0 < ends[0] <= ends[1] < np.inf}
    if empty or not space:
        raise ValueError(f"space: nothing to look for in {empty}, 0 < low <= high is needed")
    values = {n: low * (high / low) ** t for t, (n, (low, high)) in zip(u, space.items())}
    return {n: round(v) if isinstance(space[n][0], int) else float(v) for n, v in values.items()}


def surrogate(search: str, u, f, candidates):
    """Mean and deviation (N,) of f at `candidates` (N, D), guessed from f (T,) at u (T, D)."""
    from sklearn import ensemble, gaussian_process
    if search == "bayesian":
        kernel = gaussian_process.kernels.Matern(0.5, "fixed", nu=2.5)      # half an axis is near
        model = gaussian_process.GaussianProcessRegressor(kernel, alpha=0.01, normalize_y=True)
        return model.fit(u, f).predict(candidates, return_std=True)
    trees = ensemble.RandomForestRegressor(50, random_state=0).fit(u, f).estimators_
    says = np.stack([tree.predict(candidates) for tree in trees])
    return says.mean(0), says.std(0)


def propose(search: str, dimensions: int, points: int, past: list[dict], seed: list[int]):
    """What u in [0,1]^D to try after the trials `past`, out of points^D trials in all."""
    if search == "grid":                                        # in an order drawn by lot
        lattice = [*itertools.product((np.arange(points) + 0.5) / points, repeat=dimensions)]
        return np.random.default_rng(seed).permutation(lattice)[len(past)]
    rng = np.random.default_rng([*seed, len(past)])
    if search == "random" or len(past) < max(2, points ** dimensions // 4):
        return rng.random(dimensions)
    u, f = np.array([trial["u"] for trial in past]), np.log([trial["loss"] for trial in past])
    candidates = rng.random((1000, dimensions))
    mu, sigma = surrogate(search, u, f, candidates)
    return candidates[(mu - 1.5 * sigma).argmin()]


def train(values: dict, digits, judges, epochs: int, seed: int) -> dict:
    """Loss (at most ln 10, a guess's) and accuracy on `judges` after training on `digits`."""
    minidl.manual_seed(seed)
    w = values["width"]
    model = nn.Sequential(nn.Conv2d(1, w, 3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(w, 2 * w, 3), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Linear(50 * w, 10))
    steps = ClassifierSteps(model, optim.Adam(model.parameters(), lr=values["lr"]))
    loader = data.DataLoader(digits, values["batch"], shuffle=True, seed=seed)
    for images, labels in itertools.chain.from_iterable([loader] * epochs):
        steps.step(images, labels)
    tested = steps.evaluate(data.DataLoader(judges, 250))
    return {**tested, "loss": min(float(np.log(10)), tested["loss"])}


def read(path: Path) -> list[dict]:
    """The trials in a file, one a line; the last line goes if it is not whole: a kill cut it."""
    whole, _, cut = path.read_text().rpartition("\n") if path.exists() else ("", "", "")
    if not all('{"search"'.startswith(line[:9]) for line in [*whole.splitlines(), cut]):
        raise ValueError(f"{path} has lines that are no trials: move it, or give another --out")
    path.write_text(whole + "\n" * bool(whole))
    return [json.loads(line) for line in whole.splitlines()]


@plots.picture(9, 3.8)
def draw(figure: Figure, done: dict) -> None:
    """Left the best loss so far, mean and range over the runs; right the loss of every trial."""
    left, right = figure.subplots(1, 2, sharey=True)
    for search, runs in done.items():
        loss, color = np.array([[t["loss"] for t in run] for run in runs]), COLORS[search]
        best, x = np.minimum.accumulate(loss, axis=1), np.arange(loss.shape[1]) + 1
        left.step(x, best.mean(0), where="post", color=color, label=search)
        left.fill_between(x, best.min(0), best.max(0), step="post", color=color, alpha=0.12)
        right.scatter([[t["lr"] for t in run] for run in runs], loss, s=12, color=color)
    left.set(yscale="log", xlabel="trial", title="Best loss so far (nats)")
    right.set(xscale="log", xlabel="learning rate", title="Loss of every trial")
    left.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description="Grid, random, Bayesian and forest search.")
    for name, ends in SPACE.items():
        parser.add_argument(f"--{name}", nargs=2, type=type(ends[0]), default=ends)
    parser.add_argument("--searches", nargs="+", choices=COLORS, default=[*COLORS])
    for name, value in {"runs": 1, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path, default="tune.png", help="trials: the same, .jsonl")
    parser.add_argument("--quick", action="store_true", help="a few digits, 8 trials, one run")
    args = parser.parse_args()
    if {"bayesian", "forest"} & {*args.searches} and not importlib.util.find_spec("sklearn"):
        raise ImportError('bayesian, forest: they need scikit-learn, pip install "minidl[tune]"')
    points, n, epochs, runs = (2, 200, 1, 1) if args.quick else (3, 2000, 3, args.runs)
    space, mnist = {name: getattr(args, name) for name in SPACE}, data.mnist()
    digits, judges = mnist.train[:n], mnist.train[n:n + n // 2]
    written, done = read(path := args.out.with_suffix(".jsonl")), {s: [] for s in args.searches}
    print("best of    run   loss  accuracy      lr  batch  width  on test digits")
    for search, run in itertools.product(args.searches, range(runs)):
        key = {"search": search, "run": run, "seed": args.seed, "digits": n, "space": space}
        past = [trial for trial in written if trial.items() >= key.items()]
        while len(past) < points ** len(space):
            u = propose(search, len(space), points, past, [args.seed, run])
            values = decode(u, space)
            result = train(values, digits, judges, epochs, 100 * run + len(past))
            past.append({**key, "u": list(u), **values, **result})
            with path.open("a") as file:
                file.write(json.dumps(past[-1]) + "\n")
        i = np.argmin([trial["loss"] for trial in past])
        test = train(past[i], digits, mnist.test[:5 * n], epochs, 100 * run + i)["accuracy"]
        print("{search:9} {0:4} {loss:6.3f} {accuracy:9.1%} {lr:7.5f} {batch:6} {width:6} {1:15.1%}"
              .format(run + 1, test, **past[i]))
        done[search].append(past)
    draw(done).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    main()
