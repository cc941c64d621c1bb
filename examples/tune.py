r"""Four searches for good hyper-parameters: grid, random, Bayesian, guided by a random forest.

.. image:: /images/systems/tune.png
   :alt: The lowest loss so far over the trials of each search, and the loss of every trial.

A trial trains a small network on 2,000 digits; its loss is the cross entropy on 1,000 others.
Looked for are learning rate, batch size and width, each from a lowest value :math:`l` to a highest,
:math:`h`. A number :math:`u` from 0 to 1 stands for the value :math:`l\,(h/l)^u`. **Grid** search
tries every crossing of a lattice, **random** search draws :math:`u`. The guided searches draw a
quarter of their trials, too. Then a Gaussian process (**bayesian**) or random **forest**, fitted to
its trials, tells mean :math:`\mu` and deviation :math:`\sigma` of the loss's logarithm at any
:math:`u`. Of 1,000 drawn, the one with the lowest :math:`\mu(u)-1.5\,\sigma(u)` is tried: it should
be good, or little is known. With the default arguments: forest 0.169, random and bayesian 0.171 (a
trial drawn for both), grid 0.210; ``--runs 3`` shows the luck. Source: D2-TUNE. tests/test_tune.py.
"""

import importlib.util
import itertools
import json

import numpy as np

from minidl import data, manual_seed, nn, optim, plots, script
from minidl.training import ClassifierSteps

SPACE = {"lr": [1e-4, 1e-1], "batch": [16, 256], "width": [4, 32]}
COLORS = {"grid": plots.GREY, "random": plots.BLUE, "bayesian": plots.ORANGE, "forest": "#2f9e68"}


def decode(u, space):
    """The values at u in [0,1]^D, whole numbers where the ends are."""
    values = {n: low * (high / low) ** t for t, (n, (low, high)) in zip(u, space.items())}
    return {n: round(v) if isinstance(space[n][0], int) else float(v) for n, v in values.items()}


def surrogate(search, u, f, candidates):
    """Mean and deviation (N,) of f at `candidates` (N, D), guessed from f (T,) at u (T, D)."""
    from sklearn import ensemble, gaussian_process
    if search == "bayesian":
        kernel = gaussian_process.kernels.Matern(0.5, "fixed", nu=2.5)      # half an axis is near
        model = gaussian_process.GaussianProcessRegressor(kernel, alpha=0.01, normalize_y=True)
        return model.fit(u, f).predict(candidates, return_std=True)
    trees = ensemble.RandomForestRegressor(50, random_state=0).fit(u, f).estimators_
    says = np.stack([tree.predict(candidates) for tree in trees])
    return says.mean(0), says.std(0)


def propose(search, dimensions, points, past, seed):
    """What u in [0,1]^D to try after the trials `past`, out of points^D trials in all."""
    if search == "grid":                                        # in an order drawn by lot
        lattice = list(itertools.product((np.arange(points) + 0.5) / points, repeat=dimensions))
        return np.random.default_rng(seed).permutation(lattice)[len(past)]
    rng = np.random.default_rng([*seed, len(past)])
    if search == "random" or len(past) < max(2, points ** dimensions // 4):
        return rng.random(dimensions)
    u, f = np.array([trial["u"] for trial in past]), np.log([trial["loss"] for trial in past])
    candidates = rng.random((1000, dimensions))
    mu, sigma = surrogate(search, u, f, candidates)
    return candidates[(mu - 1.5 * sigma).argmin()]


def train(values, digits, validation, epochs, seed):
    """Loss (at most ln 10, a guess's) and accuracy on `validation` after training on `digits`."""
    manual_seed(seed)
    w = values["width"]
    model = nn.Sequential(nn.Conv2d(1, w, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(w, 2 * w, 3),
                          nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(50 * w, 10))
    steps = ClassifierSteps(model, optim.Adam(model.parameters(), lr=values["lr"]))
    loader = data.DataLoader(digits, values["batch"], shuffle=True, seed=seed)
    for images, labels in loader.batches(epochs * len(loader)):
        steps.step(images, labels)
    found = steps.evaluate(data.DataLoader(validation, 250))
    return {"loss": min(float(np.log(10)), found["loss"]), "accuracy": found["accuracy"]}


def read(path):
    """The trials in a file, one a line; half a line at the end, left by a kill, is dropped."""
    *whole, half = (path.read_text(errors="replace") if path.exists() else "").split("\n")
    begun = lambda line: line.startswith('{"search"')
    whole_one = lambda line: begun(line) and '"training_seed"' in line and line.endswith("}")
    if not all(map(whole_one, whole)) or half and not begun(half):
        raise ValueError(f"{path} has lines that are no trials: move it, or give another --out")
    path.write_text("".join(line + "\n" for line in whole))
    return [json.loads(line) for line in whole]


@plots.picture(9, 3.8)
def draw(figure, done):
    left, right = figure.subplots(1, 2, sharey=True)
    for search, runs in done.items():
        loss, color = np.array([[trial["loss"] for trial in run] for run in runs]), COLORS[search]
        best, x = np.minimum.accumulate(loss, axis=1), np.arange(loss.shape[1]) + 1
        left.step(x, best.mean(0), where="post", color=color, label=search)
        left.fill_between(x, best.min(0), best.max(0), step="post", color=color, alpha=0.12)
        right.scatter([[trial["lr"] for trial in run] for run in runs], loss, s=12, color=color)
    left.set(yscale="log", xlabel="trial", title="Best loss so far (nats)")
    right.set(xscale="log", xlabel="learning rate", title="Loss of every trial")
    left.legend()


def main():
    parser = script.parser(__doc__, picture="tune.png", quick="few digits, 8 trials a search")
    parser.epilog = "FILE.jsonl (tune.jsonl) keeps the trials for reuse: delete it to start over"
    for name, ends in SPACE.items():
        parser.add_argument(f"--{name}", nargs=2, type=type(ends[0]), metavar=("LOW", "HIGH"),
                            default=ends, help=f"what is tried (default {ends[0]} to {ends[1]})")
    parser.add_argument("--searches", nargs="+", choices=COLORS, default=COLORS, help="default all")
    parser.add_argument("--runs", type=script.at_least(1), default=1, help="of each (default 1)")
    args = parser.parse_args()
    space, path = {name: getattr(args, name) for name in SPACE}, args.out.with_suffix(".jsonl")
    done = {search: [] for search in args.searches}
    for name, (low, high) in space.items():
        if not 0 < low <= high < np.inf:
            parser.error(f"--{name}: 0 < LOW <= HIGH is needed, got {low} {high}")
    if ("bayesian" in done or "forest" in done) and not importlib.util.find_spec("sklearn"):
        parser.error("forest, bayesian: pip install scikit-learn, or give --searches grid random")
    try:
        trials = read(path)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    points, n, epochs = (2, 200, 1) if args.quick else (3, 2000, 3)
    digits, test = data.mnist().train, data.mnist().test[:5 * n]
    table = ["best of    run   loss  accuracy      lr  batch  width  on test digits"]
    for search, run in itertools.product(done, range(args.runs)):
        key = {"search": search, "run": run, "seed": args.seed, "digits": n, "space": space}
        if past := [trial for trial in trials if trial.items() >= key.items()]:
            print(f"{path}: {len(past)} {search} trials of an earlier run are reused; "
                  "delete it to start over")
        while len(past) < points ** len(space):
            u = propose(search, len(space), points, past, [args.seed, run])
            values = decode(u, space)
            seed = int(np.random.SeedSequence([args.seed, run, len(past)]).generate_state(1)[0])
            past.append({**key, "u": list(u), **values, "training_seed": seed,
                         **train(values, digits[:n], digits[n:n + n // 2], epochs, seed)})
            with path.open("a") as file:
                file.write(json.dumps(past[-1]) + "\n")
            print(f"{search}, trial {len(past)}: loss {past[-1]['loss']:.3f}", flush=True)
        done[search].append(past)
        best = min(past, key=lambda trial: trial["loss"])
        accuracy = train(best, digits[:n], test, epochs, best["training_seed"])["accuracy"]
        table.append(f"{search:9} {run + 1:4} {best['loss']:6.3f} {best['accuracy']:9.1%} "
                     f"{best['lr']:7.5f} {best['batch']:6} {best['width']:6} {accuracy:15.1%}")
    print(*table, sep="\n")
    draw(done).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
