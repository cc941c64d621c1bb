r"""The latent space of a variational autoencoder: walks through it, and its code as features.

The three uses of a VAE that document D3, section 3.3.3, names, with codes of 20 numbers.
*New pictures*: a code is drawn from the prior :math:`N(0, I)` and decoded. *Interpolation*: between
the codes of two given digits :math:`x_a, x_b` lies a straight line of codes, each decoded:

.. math:: z_t = (1 - t)\, \mu(x_a) + t\, \mu(x_b), \quad x_t = E[x \mid z_t], \quad t \in [0, 1].

The cross-fade :math:`(1 - t)\, x_a + t\, x_b` needs no network, and shows two digits at once.
*Representation*: a linear classifier :math:`p(c \mid v) = \mathrm{softmax}_c(W v + b)` is trained
on the code :math:`v = \mu(x)`, with few and with many labels; beside it one on all 784 pixels,
and one on as many principal components of the pixels as the code has numbers.

.. image:: /images/systems/latent_space.png
    :alt: Decoded walks between digits, samples, and the accuracy of three linear classifiers.

With the default arguments: 10,000 labels give 90.1 % of the test digits from the code's 20 numbers,
91.3 % from 784 pixels, 87.3 % from 20 components; 1,000 labels 86.9, 86.1 and 83.5 %.
Source: D3-INTERP. Test: tests/test_latent_space.py.
"""

import numpy as np

import minidl
from minidl import data, nn, optim, plots, script
from minidl.models import MODELS
from minidl.training import ClassifierSteps, VAESteps
from minidl.training.outputs import decoded, encoded, prior_samples

WALKS = [(3, 8), (4, 9), (7, 1), (0, 6), (2, 5)]
COLORS = {"code": plots.ORANGE, "components": plots.GREY, "pixels": plots.BLUE}


def train_vae(digits, latent, seed):
    """One epoch of the network of D1-VAE, on -ELBO."""
    vae = MODELS["vae"].build(latent=latent)
    procedure = VAESteps(vae, optim.Adam(vae.parameters(), lr=1e-3))
    loader = data.DataLoader(digits, 64, shuffle=True, seed=seed)
    for step, (x, _) in enumerate(loader, 1):
        losses = procedure.step(x)
        if step % 100 == 0 or step == len(loader):
            loss, kl = losses["loss"].item(), losses["kl"].item()
            print(f"step {step}/{len(loader)}: -ELBO {loss:.1f} nats, of it KL {kl:.1f}")
    return vae


def walk(a, b, steps):
    """`steps` points from `a` to `b` on a straight line, both ends included: (steps, *a.shape)."""
    if a.shape != b.shape or steps < 2:
        raise ValueError(f"walk: a is {a.shape}, b {b.shape}, steps {steps}; the shapes must be "
                         "the same, and steps at least 2")
    return np.stack([(1 - t) * a + t * b for t in np.linspace(0, 1, steps)]).astype(np.float32)


def first(dataset, digit):
    """The number of the first example of `digit`."""
    if digit not in dataset.labels:
        raise ValueError(f"first: digit is {digit}, and of that class there is no example")
    return np.flatnonzero(dataset.labels == digit)[0]


def principal_components(x, n):
    """The directions (D, n) in which the rows of x (N, D) differ most."""
    if not 1 <= n <= x.shape[1]:
        raise ValueError(f"principal_components: n is {n}, it must be 1 to {x.shape[1]}")
    _, directions = np.linalg.eigh(np.cov(x.T, dtype=x.dtype))
    return directions[:, ::-1][:, :n]                              # eigh puts the largest last


def linear_accuracy(v, labels, v_test, labels_test, steps, seed):
    """Train softmax(W v + b) on rows `v`; the share of the test rows that it then calls rightly.
    Rows are centred, and scaled to a mean squared length of 20: no kind has an advantage."""
    mean = v.mean(0)
    scale = np.sqrt(20 / ((v - mean) ** 2).sum(1).mean())
    v = ((v - mean) * scale).astype(np.float32)
    v_test = ((v_test - mean) * scale).astype(np.float32)
    model = nn.Linear(v.shape[1], 10)
    loader = data.DataLoader((v, labels), 200, shuffle=True, seed=seed)
    for lr in (1e-2, 1e-3):
        procedure = ClassifierSteps(model, optim.Adam(model.parameters(), lr=lr))
        for rows, truth in loader.batches(steps):
            procedure.step(rows, truth)
    return procedure.evaluate(data.DataLoader((v_test, labels_test), 1000))["accuracy"]


def compare(kinds, labels, labels_test, sizes, steps, seed):
    """The accuracy of a linear classifier of each kind of features, for each number of labels."""
    print("\nlabelled digits", *kinds, sep="   ")
    table = {}
    for n in sizes:
        found = {}
        for name, (v, v_test) in kinds.items():
            found[name] = linear_accuracy(v[:n], labels[:n], v_test, labels_test, steps, seed)
        print(f"{n:15,} {found['code']:6.1%} {found['components']:12.1%} {found['pixels']:8.1%}")
        table[n] = found
    return table


@plots.picture(9.6, 4.4)
def draw(figure, fade, walks, drawn, table):
    """Left: the cross-fade, the walks, samples. Right: accuracy against the number of labels."""
    left, right = figure.subplots(1, 2, width_ratios=[1.3, 1])
    left.imshow(plots.tile(np.concatenate([fade, *walks, drawn]), len(fade)))
    names = ["cross-fade"] + [f"{a} to {b}" for a, b in WALKS] + ["samples"]
    left.set_yticks([16 + 30 * i for i in range(len(names))], names)
    left.tick_params(length=0, labelbottom=False, labelsize=9)
    left.spines[:].set_visible(False)
    left.grid(False)
    for name, color in COLORS.items():
        percent = [100 * found[name] for found in table.values()]
        right.plot(list(table), percent, "o-", color=color, label=name)
    right.set(xscale="log", xlabel="labelled digits", ylabel="test digits right, %",
              title="Linear classifiers")
    right.set_xticks(list(table), [f"{n:,}" for n in table])
    right.minorticks_off()
    figure.legend(title="on", loc="outside right upper")


def main():
    parser = script.parser(__doc__, picture="latent_space.png", quick="few digits, few steps")
    parser.add_argument("--latent", type=script.at_least(1), default=20,
                        help="numbers in a code (default 20)")
    args = parser.parse_args()
    if args.latent > 784:
        parser.error(f"--latent is {args.latent}: a digit's 784 pixels have 784 components")
    minidl.manual_seed(args.seed)
    digits, test = data.mnist().train, data.mnist().test
    sizes, steps = [100, 300, 1000, 3000, 10_000], 500
    if args.quick:
        digits, test, sizes, steps = digits[:320], test[:100], [100, 320], 40
    vae = train_vae(digits, args.latent, args.seed)
    codes, labels = encoded(vae, data.DataLoader(digits[:sizes[-1]], 500))
    test_codes, test_labels = encoded(vae, data.DataLoader(test, 500))
    pixels = digits.images.reshape(len(digits), 784) / np.float32(255)
    test_pixels = test.images.reshape(len(test), 784) / np.float32(255)
    directions = principal_components(pixels, args.latent)
    kinds = {"code": (codes, test_codes),
             "components": (pixels @ directions, test_pixels @ directions),
             "pixels": (pixels, test_pixels)}
    table = compare(kinds, labels, test_labels, sizes, steps, args.seed)
    ends = [(first(test, a), first(test, b)) for a, b in WALKS]
    walks = [decoded(vae, walk(test_codes[i], test_codes[j], 9)) for i, j in ends]
    fade = walk(*(test_pixels[i] for i in ends[0]), 9).reshape(9, 1, 28, 28)
    draw(fade, walks, prior_samples(vae, 9, args.seed), table).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
