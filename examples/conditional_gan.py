r"""A GAN that draws the digit it is asked for.

A conditional GAN plays the game of a GAN with players that are both told the class :math:`y`,

.. math:: V(D, G) = E \log D(x \mid y) + E \log(1 - D(G(z \mid y) \mid y)),

D climbing it and G deceiving D by descending :math:`-E \log D(G(z \mid y) \mid y)`. To G the class
is ten more numbers beside the noise z, one of them 1, the others 0. D gives ten numbers for an
image, whether it is a real 0, a real 1 and so on, and :math:`D(x \mid y)` is number y of them. A
classifier trained on the side counts how many of the drawn digits are those that were asked for.
What is written out here is what ``python -m minidl train cgan`` does: the same weights, to the bit.

.. image:: /images/systems/conditional_gan.png
   :alt: Drawn digits: from left to right those asked for, 0 to 9; each row from the same noise.

With the default arguments: 98.6 % of 2,000 drawn digits are what was asked for, from 96.5 % of the
fours to all zeros, ones and sixes; a row keeps its slant and the weight of its strokes through all
ten digits, and one row in eight is torn. Nine minutes on two cores.

Test: tests/test_gan_variants.py. Source: D3-CGAN.
"""

import numpy as np

import minidl
from minidl import data, plots, script
from minidl import functional as F
from minidl.models import MODELS
from minidl.random import Generator
from minidl.training import Trainer, predict
from minidl.training.config import config_for
from minidl.training.job import Job
from minidl.training.outputs import asked, samples

recipe = MODELS["cgan"]


def discriminator_turn(gan, optimizer, x, y):
    """D learns to tell the digits x from fakes of the same classes y."""
    G, D = gan.generator, gan.discriminator
    with minidl.no_grad():
        fake = G(gan.told(gan.noise(len(x)), y))
    loss = F.gan_discriminator_loss(gan.of_class(D(x), y), gan.of_class(D(fake), y))      # -V
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def generator_turn(gan, optimizer, y):
    """G learns to draw what D, told y too, takes for a digit of class y."""
    G, D = gan.generator, gan.discriminator
    D.requires_grad_(False)
    fake = G(gan.told(gan.noise(len(y)), y))
    loss = F.gan_generator_loss(gan.of_class(D(fake), y))           # -E log D(G(z|y)|y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    D.requires_grad_(True)
    return loss.item()


def train(digits, epochs, seed):
    """A GAN after `epochs` epochs of `digits`, D and G having a turn each on every batch."""
    minidl.manual_seed(seed)
    gan = recipe.build()
    g_optimizer = recipe.optimizer(gan.generator.parameters(), recipe.lr)
    d_optimizer = recipe.optimizer(gan.discriminator.parameters(), recipe.lr)
    loader = data.DataLoader(digits, recipe.batch_size, shuffle=True, seed=seed, drop_last=True,
                             scale="tanh")
    done, steps = 0, epochs * len(loader)
    gan.train()
    for x, y in loader.batches(steps):
        for optimizer in (g_optimizer, d_optimizer):
            optimizer.param_groups[0]["lr"] = recipe.lr * recipe.schedule(done / steps)
        d_loss = discriminator_turn(gan, d_optimizer, x, y)
        g_loss = generator_turn(gan, g_optimizer, y)
        done += 1
        if done % 50 == 0 or done == steps:
            print(f"step {done}/{steps}: D's loss {d_loss:.3f}, G's {g_loss:.3f}", flush=True)
    return gan


def as_asked(gan, judge, n, seed):
    """Of `n` drawn digits of each class, the share that the judge takes for that class (10,)."""
    images, y = samples(gan, 10 * n, seed), asked(gan, 10 * n)
    called = predict(judge, images).argmax(1)
    return (called == y).reshape(n, 10).mean(0)


def same_noise(gan, rows, seed):
    """(10 rows, 1, 28, 28) in [0, 1]: each row of ten from one z, asked for 0, 1, ... 9."""
    gan.eval()
    z = minidl.tensor(np.repeat(gan.noise(rows, Generator(seed)).numpy(), 10, axis=0))
    with minidl.no_grad():
        return gan(z, minidl.tensor(np.arange(10 * rows) % 10)).numpy() / 2 + 0.5


@plots.picture(6.6, 5.7)
def draw(figure, images, share):
    """The digits of `same_noise`, ten to a row."""
    title = f"Asked for 0 to 9, each row from one noise: {share:.1%} as asked"
    plots.grid(images, title, columns=10, figure=figure)


def main():
    parser = script.parser(__doc__, picture="conditional_gan.png", quick="320 digits, one epoch")
    parser.add_argument("--epochs", type=script.at_least(1), metavar="N",
                        help=f"default {recipe.epochs}, with --quick 1")
    args = parser.parse_args()
    digits, epochs, n = data.mnist().train, recipe.epochs, 200
    if args.quick:
        digits, epochs, n = digits[:320], 1, 10
    epochs = args.epochs or epochs

    gan = train(digits, epochs, args.seed)
    judge = Job(config_for("cnn", epochs=1, seed=args.seed, quick=args.quick))
    Trainer(judge.procedure, judge.train_loader(), schedule=judge.recipe.schedule).fit(1)

    shares = as_asked(gan, judge.model, n, args.seed + 1)        # by noise not seen in training
    print("\nasked for  drawn, as the classifier sees it")
    for digit, share in enumerate(shares):
        print(f"{digit:9}  {share:6.1%}")
    print(f"all        {shares.mean():6.1%}")
    draw(same_noise(gan, 8, args.seed + 5), shares.mean()).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
