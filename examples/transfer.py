r"""Transfer learning: what the digits 0 to 4 teach about the digits 5 to 9.

The five steps of document D3, section 3.5.2:

1. pre-train a network on the source, the digits 0 to 4;
2. begin a network for the target, 5 to 9, with its weights (only the last layer is new);
3. freeze the convolutions;
4. train the rest on the target, here with 10, 50 or 500 examples of each class;
5. unfreeze, and train all of it a little more, with a smaller learning rate.

With the convolutions' weights :math:`\theta_f`, those of the other layers :math:`\theta_h`,
and the loss :math:`L_S` on the source, :math:`L_T` on the target:

.. math::
    \theta_f^S = \arg\min_{\theta_f} \min_{\theta_h} L_S(\theta_f, \theta_h), \qquad
    \theta_h^T = \arg\min_{\theta_h} L_T(\theta_f^S, \theta_h).

Beside it a network that begins with random weights sees the same examples for as many steps.
With the default arguments: 90.8, 95.4 and 97.3 % for the frozen networks, 90.4, 95.5 and 97.6 %
unfrozen, 85.3, 91.7 and 96.9 % from nothing: the fewer examples there are, the more it helps.

.. image:: /images/systems/transfer.png
    :alt: Accuracy on the digits 5 to 9 against the number of examples, of the three networks.

Test: tests/test_transfer.py. Source: D3-TRANSFER.
"""

import numpy as np

import minidl
from minidl import data, nn, optim, plots, script
from minidl.models import CNN
from minidl.training import ClassifierSteps

SOURCE, TARGET = [0, 1, 2, 3, 4], [5, 6, 7, 8, 9]
COLORS = {"from nothing": plots.GREY, "frozen": plots.BLUE, "unfrozen": plots.ORANGE}


def only(dataset, classes):
    """The examples of these classes, which are numbered 0, 1, ... in this order."""
    chosen = dataset[np.isin(dataset.labels, classes)]
    return data.ArrayDataset(chosen.images, [classes.index(c) for c in chosen.labels], classes)


def few(dataset, n, seed):
    """`n` examples of every class, drawn at random."""
    rng = np.random.default_rng(seed)
    chosen = []
    for label, name in enumerate(dataset.classes):
        there = np.flatnonzero(dataset.labels == label)
        if not 1 <= n <= len(there):
            raise ValueError(f"few: n is {n}; of class {name} 1 to {len(there)} can be drawn")
        chosen.append(rng.choice(there, n, replace=False))
    return dataset[np.concatenate(chosen)]


def begun_from(pretrained):
    """Step 2: a network for the target with all weights of `pretrained` but the last layer's."""
    new = CNN(classes=len(TARGET))
    for old_layer, new_layer in zip(list(pretrained)[:-1], new):
        new_layer.load_state_dict(old_layer.state_dict())
    return new


def freeze_convolutions(model):
    """Step 3. Returns the frozen parameters, each with the bytes that it must keep."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.requires_grad_(False)
    frozen = {p: p.numpy().tobytes() for p in model.parameters() if not p.requires_grad}
    if not frozen:
        raise ValueError(f"freeze_convolutions: model is a {type(model).__name__} without Conv2d")
    return frozen


def train(model, dataset, steps, lr, seed, shown=None):
    """Steps of Adam on the cross entropy of up to 50 examples each."""
    procedure = ClassifierSteps(model, optim.Adam(model.parameters(), lr=lr))
    loader = data.DataLoader(dataset, 50, shuffle=True, seed=seed)
    for step, (images, labels) in enumerate(loader.batches(steps), start=1):
        loss = procedure.step(images, labels)["loss"]
        if shown and step % shown == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", flush=True)


def accuracy(model, dataset):
    return ClassifierSteps(model, None).evaluate(data.DataLoader(dataset, 500))["accuracy"]


def compare(pretrained, examples, test, steps, seed):
    """Steps 2 to 5, and a network from nothing beside them: the accuracy of each on `test`."""
    fresh = CNN(classes=len(TARGET))
    model = begun_from(pretrained)
    frozen = freeze_convolutions(model)
    for network in (fresh, model):                                           # step 4
        train(network, examples, steps, 1e-3, seed)
    if any(p.numpy().tobytes() != before for p, before in frozen.items()):
        raise RuntimeError("compare: training has changed a frozen weight")
    while_frozen = accuracy(model, test)
    model.requires_grad_(True)
    for network in (fresh, model):                                           # step 5
        train(network, examples, steps // 2, 2e-4, seed + 1)
    return {"from nothing": accuracy(fresh, test), "frozen": while_frozen,
            "unfrozen": accuracy(model, test)}


@plots.picture(6.4, 4.2)
def draw(figure, table):
    axes = figure.subplots()
    for name, color in COLORS.items():
        each = np.array([[100 * found[name] for found in runs] for runs in table.values()])
        axes.plot(list(table), each.mean(1), color=color, label=name)
        axes.plot(list(table), each, "o", color=color, alpha=0.5, markersize=4)
    axes.set(xscale="log", title="The digits 5 to 9, after learning 0 to 4",
             xlabel="examples of each class", ylabel="accuracy on test digits, %")
    axes.set_xticks(list(table), list(table))
    axes.minorticks_off()
    axes.legend(loc="lower right", title="network")


def main():
    args = script.parser(__doc__, "transfer.png", quick="few examples, few steps").parse_args()
    minidl.manual_seed(args.seed)
    mnist = data.mnist()
    source, target = only(mnist.train, SOURCE), only(mnist.train, TARGET)
    test = only(mnist.test, TARGET)
    sizes, draws, source_steps, steps = [10, 50, 500], 3, 1000, 200
    if args.quick:
        test, sizes, draws, source_steps, steps = test[::25], [5, 10], 1, 30, 10

    print(f"pre-training on {len(source):,} digits from 0 to 4")
    pretrained = CNN(classes=len(SOURCE))
    train(pretrained, source, source_steps, 1e-3, args.seed, shown=100)      # step 1
    print("\nexamples of a class", *COLORS, sep="   ")
    row = lambda label, runs: f"{label:>19}" + "".join(
        f"   {np.mean([found[name] for found in runs]):{len(name)}.1%}" for name in COLORS)
    table = {n: [] for n in sizes}
    for n in sizes:
        for seed in range(args.seed, args.seed + draws):
            table[n].append(compare(pretrained, few(target, n, seed), test, steps, seed))
            print(row(f"{n}, seed {seed}", table[n][-1:]), flush=True)
        print(row(f"{n}, mean", table[n]))
    print("frozen weights: every bit as before")
    draw(table).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
