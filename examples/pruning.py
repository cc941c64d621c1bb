r"""Smaller networks: prune the weights that are nearly zero, merge the filters that are alike.

*Magnitude pruning* sets the smallest weights to zero and holds them there in fine-tuning:
:math:`w \leftarrow 1[|w| > \tau_s]\,w`, where :math:`\tau_s` is the :math:`s`-quantile of all
:math:`|w|`. *Merging* makes one filter of two. With :math:`w_i` for a filter and its bias, of
length :math:`|w_i|` and direction :math:`u_i`, and :math:`v_i` for the next layer's weights of it,
:math:`v_i\,\mathrm{relu}(w_i \cdot x) = |w_i|v_i\,\mathrm{relu}(u_i \cdot x)`: filters of one
direction are one filter, whose :math:`|w|v` add up. Let :math:`v` stand for these. Other filters
get their mean direction; the pair that this changes least goes first (Ward's clustering):

.. math:: c_{ij} = \frac{a_i a_j}{a_i + a_j} (1 - u_i \cdot u_j), \quad a_i = |v_i|, \quad
    u \propto a_i u_i + a_j u_j, \quad v = v_i + v_j.

.. image:: /images/systems/pruning.png
    :alt: Accuracy against the share of the weights that are left, for pruning and for merging.

With the default arguments: the whole network is right on 98.8 % of the test digits; pruned in one
go and fine-tuned, 97.5 % with a tenth of its weights, 89.0 % with a twentieth; merged, 98.7 % with
a quarter, 98.5 % with an eighth, 97.0 % with 4 %. Source: D2-PRUNE. Test: tests/test_pruning.py.
"""

import copy

import numpy as np

import minidl
from minidl import data, nn, optim, plots, script
from minidl.training import ClassifierSteps

# The shares of the weights that become zero, and of the filters that stay.
PRUNE, KEEP = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99), (0.9, 0.7, 0.5, 0.35, 0.2)


def network(a, b, c, d):
    """D1-CNN, with other numbers of filters and neurons."""
    return nn.Sequential(
        nn.Conv2d(1, a, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(a, b, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(b, c, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(9 * c, d), nn.ReLU(), nn.Linear(d, 10))


def weights(model):
    """All of them in one array, without the biases."""
    return np.concatenate([p.numpy().ravel() for p in model.parameters() if p.ndim > 1])


def pruned(model, share):
    """A copy with the smallest weights, this share of all, at zero, and their gradients too."""
    if not 0 < share < 1:
        raise ValueError(f"pruned: share is {share}, it must be above 0 and below 1")
    small = copy.deepcopy(model)
    tau = np.quantile(abs(weights(small)), share)
    for p in small.parameters():
        if p.ndim > 1:
            mask = (p.detach().abs() > tau).float()
            p.data *= mask.data
            p.register_hook(lambda gradient, mask=mask: gradient * mask)
    return small


def merge(w, v, keep):
    """Filters w (O, D), and v (P, O, K), the next layer's weights for them: `keep` filters stay."""
    if not 1 <= keep <= len(w):
        raise ValueError(f"merge: keep is {keep}, of {len(w)} filters it can be 1 to {len(w)}")
    length = np.linalg.norm(w, axis=1)
    u, v = w / np.maximum(length, 1e-12)[:, None], v * length[:, None]
    while len(u) > keep:
        a = np.linalg.norm(v, axis=(0, 2)) + 1e-12
        cost = np.outer(a, a) / np.add.outer(a, a) * (1 - u @ u.T)      # of each pair
        np.fill_diagonal(cost, np.inf)
        i, j = np.unravel_index(cost.argmin(), cost.shape)
        mean = a[i] * u[i] + a[j] * u[j]
        u[i] = mean / max(np.linalg.norm(mean), 1e-12)
        v[:, i] += v[:, j]
        u, v = np.delete(u, j, axis=0), np.delete(v, j, axis=1)
    return u, v


def merged(model, share):
    """A new, smaller network: of every layer but the last this share of the filters is left."""
    arrays = [p.numpy() for p in model.parameters()]            # weights, biases, weights, ...
    widths = [round(share * len(w)) for w in arrays[:-2:2]]
    for i, keep in zip(range(0, len(arrays), 2), widths):
        w, b, v = arrays[i:i + 3]
        filters = np.c_[w.reshape(len(w), -1), b]
        filters, arrays[i + 2] = merge(filters, v.reshape(len(v), len(w), -1), keep)
        arrays[i], arrays[i + 1] = filters[:, :-1], filters[:, -1]
    small = network(*widths)
    for p, array in zip(small.parameters(), arrays):
        p.data[...] = array.reshape(p.shape)
    return small


def train(model, digits, rates, seed):
    """An epoch of Adam at each of these learning rates, on the cross entropy."""
    loader = data.DataLoader(digits, 64, shuffle=True, seed=seed)
    for lr in rates:
        procedure = ClassifierSteps(model, optim.Adam(model.parameters(), lr=lr))
        for step, (images, labels) in enumerate(loader, start=1):
            procedure.step(images, labels)
            if step % 200 == 0:                          # never in fine-tuning, which is shorter
                print(f"learning rate {lr:g}: step {step} of {len(loader)}", flush=True)


def accuracy(model, digits):
    return ClassifierSteps(model, None).evaluate(data.DataLoader(digits, 500))["accuracy"]


@plots.picture(7, 4.4)
def draw(figure, table):
    axes = figure.subplots()
    for way, color in zip(table, (plots.BLUE, plots.ORANGE)):
        left, before, after = 100 * np.array(table[way]).T
        axes.plot(left, before, "o--", color=color, alpha=0.6, label=f"{way}, as it is")
        axes.plot(left, after, "o-", color=color, label=f"{way}, fine-tuned")
    axes.set(xscale="log", xlim=(110, 0.8), ylim=(0, 103), title="How few weights are enough",
             xlabel="weights left, %", ylabel="test digits right, %")
    axes.set_xticks([100, 50, 20, 10, 5, 2, 1], [100, 50, 20, 10, 5, 2, 1])
    figure.legend(ncols=2, loc="outside lower center")


def main():
    args = script.parser(__doc__, "pruning.png", quick="a small network, few digits").parse_args()
    minidl.manual_seed(args.seed)
    digits, test, widths = data.mnist().train, data.mnist().test, (32, 64, 64, 64)
    if args.quick:
        digits, test, widths = digits[:1500], test[:300], (8, 16, 16, 32)
    whole = network(*widths)
    train(whole, digits, [1e-3, 2e-4], args.seed)
    right = accuracy(whole, test)
    print(f"the whole network: {right:.2%} of the test digits right\n")
    print("way     weights left  multiplications    right  fine-tuned")
    table = {"pruned": [(1, right, right)], "merged": [(1, right, right)]}
    for way, shares in ((pruned, PRUNE), (merged, KEEP)):
        for share in shares:
            small = way(whole, share)
            left = np.count_nonzero(weights(small)) / len(weights(whole))
            work = small.summary((1, 28, 28)).multiply_adds
            before = accuracy(small, test)
            train(small, digits[:len(digits) // 6], [5e-4], args.seed)
            after = accuracy(small, test)
            table[way.__name__].append((left, before, after))
            print(f"{way.__name__}  {left:12.1%}  {work:15,}  {before:7.2%}  {after:10.2%}")
    draw(table).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
