r"""Four losses for one GAN.

One small network learns to draw digits with four pairs of losses. GAN, D being a probability:

.. math:: L_D = -E \log D(x) - E \log(1 - D(G(z))), \qquad L_G = -E \log D(G(z)).

LSGAN, D being any number, which squares pull towards 1 or 0:

.. math:: L_D = \tfrac12 E (D(x) - 1)^2 + \tfrac12 E\, D(G(z))^2, \quad
          L_G = \tfrac12 E (D(G(z)) - 1)^2.

WGAN, with a critic :math:`f` of bounded slope for D; :math:`E f(x) - E f(G(z))`, at its largest, is
how far the fakes are from the digits (the Wasserstein distance, up to a factor):

.. math:: L_f = E f(G(z)) - E f(x), \qquad L_G = -E f(G(z)).

What bounds the slope is clipping (every weight of f is cut to [-c, c]), or a penalty in f's loss,
:math:`\lambda E (\lVert \nabla f(\hat x) \rVert - 1)^2` at points between digits and fakes. G and D
take turns; a critic f has three turns for each of G's. Every 100 turns of G 500 test digits and 500
fakes are measured: D's outputs, and the gap between them; the gradient that reaches G,
:math:`\lVert \partial L_G / \partial G(z) \rVert`; for GAN also the gradient of the loss that G has
in the formula of document D3, :math:`E \log(1 - D(G(z)))`, which saturates; and the doubt of a
trained classifier, 1 minus the largest of its softmax probabilities.

.. image:: /images/systems/gan_losses.png
   :alt: Drawn digits, and over the training D's outputs, the gradient, D's gap and the doubt

With the default arguments the classifier is 79 % sure of GAN's fakes, 80 of LSGAN's, 78 of the
clipped WGAN's, 83 with the penalty, and finds all ten digits with each. D's gap goes down with the
doubt best with the penalty (correlation 0.84; 0.55 clipped, 0.47 GAN, 0.38 LSGAN), which keeps the
gradient near 1; the clipped WGAN's rises to 7 in 200 turns, while f learns, then falls to 0.5.
After 100 turns D3's own loss for G has 0.4 of the other's gradient. Nine minutes on two cores.

Test: tests/test_gan_variants.py. Source: D3-WGAN, D3-LSGAN.
"""

import numpy as np

import minidl
from minidl import data, plots, script
from minidl.models import MODELS, SmallGAN
from minidl.training import GANSteps, LSGANSteps, Trainer, WGANPenaltySteps, WGANSteps
from minidl.training.config import config_for
from minidl.training.job import Job
from minidl.training.outputs import samples
from minidl.training.report import judged

# Optimisers, learning rate and batch size are those of a model of `minidl models`; GAN has LSGAN's.
LOSSES = {"GAN": (MODELS["lsgan"], GANSteps), "LSGAN": (MODELS["lsgan"], LSGANSteps),
          "WGAN, clipped": (MODELS["wgan"], WGANSteps),
          "WGAN, penalty": (MODELS["wgan-gp"], WGANPenaltySteps)}


def gradient_reaching(steps, fakes, **options):
    """The mean length of the gradients d L_G / d G(z) of `fakes`, a Tensor (N,1,28,28)."""
    fakes = fakes.detach().requires_grad_()
    loss = steps.g_loss(steps.model.discriminator(fakes), **options)
    (gradient,) = minidl.grad(len(fakes) * loss, fakes)      # the loss is a mean: N times, a sum
    return np.linalg.norm(gradient.numpy().reshape(len(fakes), -1), axis=1).mean()


def measured(steps, digits, judge, seed):
    """What D says of test digits (N,1,28,28) and of as many fakes, and the judge of the fakes."""
    gan, drawn = steps.model, samples(steps.model, len(digits), seed)
    fakes, found = minidl.tensor(2 * drawn - 1), judged(drawn, judge)
    with minidl.no_grad():
        real = steps.output(gan.discriminator(digits)).mean().item()
        fake = steps.output(gan.discriminator(fakes)).mean().item()
    row = {"real": real, "fake": fake, "gap": real - fake, "doubt": 1 - found["confidence"],
           "rarest": min(found["shares"].values()), "gradient": gradient_reaching(steps, fakes)}
    if type(steps) is GANSteps:
        row["saturating"] = gradient_reaching(steps, fakes, saturating=True)
    return row


def train(title, images, digits, judge, turns, every, seed):
    """`turns` turns of G on training `images`: what was measured every so many, and the GAN."""
    recipe, procedure = LOSSES[title]
    minidl.manual_seed(seed)
    gan, rows = SmallGAN(), []
    steps = procedure(gan, *(recipe.optimizer(player.parameters(), recipe.lr)
                             for player in (gan.generator, gan.discriminator)))
    loader = data.DataLoader((images,), recipe.batch_size, shuffle=True, seed=seed,
                             drop_last=True, scale="tanh")
    for turn, (batch,) in enumerate(loader.batches(turns), 1):
        for optimizer in steps.optimizers.values():
            optimizer.param_groups[0]["lr"] = recipe.lr * recipe.schedule((turn - 1) / turns)
        gan.train()
        steps.step(batch)
        if turn % every == 0 or turn == turns:
            row = {"turn": turn, **measured(steps, digits, judge, seed + 1)}
            print(f"{title}:", *(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
            rows.append(row)
    return rows, gan


def correlation(rows):
    """Of gap and doubt, as text; "-" of less than three pairs, or where one never changes."""
    pairs = np.array([(row["gap"], row["doubt"]) for row in rows])
    constant = (pairs == pairs[0]).all(0).any()
    return "-" if constant or len(pairs) < 3 else f"{np.corrcoef(pairs.T)[0, 1]:.2f}"


@plots.picture(13, 10.5)
def draw(figure, results, seed):
    """A column for each loss: fakes, and below them what was measured, over the training."""
    panels = {"D's output": {"real": "on digits", "fake": "on fakes"},
              "gradient that reaches G": {"gradient": "of this loss",
                                          "saturating": "of E log(1 - D(G(z)))"},
              "D on digits - D on fakes": {"gap": "gap"}, "classifier's doubt": {"doubt": "doubt"}}
    axes = figure.subplots(5, 4, height_ratios=[1.9, 1, 1, 1, 1])
    for (top, *below), (title, (rows, gan)) in zip(axes.T, results.items()):
        top.imshow(plots.tile(samples(gan, 49, seed + 3)))
        top.set_title(f"{title}: {1 - rows[-1]['doubt']:.0%} sure")
        top.set_axis_off()
        turns = [row["turn"] for row in rows]
        for axis, (panel, curves) in zip(below, panels.items()):
            for (name, label), color in zip(curves.items(), (plots.BLUE, plots.ORANGE)):
                if name in rows[0]:
                    axis.plot(turns, [row[name] for row in rows], color=color, label=label)
            axis.set_ylabel(panel if title == "GAN" else "")
            axis.legend(fontsize=8)
        for axis in (below[1], below[3]):
            axis.set_ylim(bottom=0)
    figure.supxlabel("turns of G")


def main():
    parser = script.parser(__doc__, picture="gan_losses.png", quick="four turns")
    parser.add_argument("--turns", type=script.at_least(1), default=2000, help="of G, default 2000")
    args = parser.parse_args()
    turns, every, n = (4, 2, 50) if args.quick else (args.turns, 100, 500)
    mnist = data.mnist()
    digits = minidl.tensor(mnist.test.images[:n] / np.float32(127.5) - 1)
    judge = Job(config_for("cnn", epochs=1, seed=args.seed, quick=args.quick))   # minidl train cnn
    Trainer(judge.procedure, judge.train_loader(), schedule=judge.recipe.schedule).fit(1)
    results = {title: train(title, mnist.train.images, digits, judge, turns, every, args.seed)
               for title in LOSSES}
    print("\nloss           confidence  rarest  D(digit)  D(fake)  gradient  gap ~ doubt")
    for title, (rows, _) in results.items():
        last = rows[-1]
        print(f"{title:13} {1 - last['doubt']:11.3f} {last['rarest']:7.1%} {last['real']:9.3f} "
              f"{last['fake']:8.3f} {last['gradient']:9.2g} {correlation(rows):>12}")
    draw(results, args.seed).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
