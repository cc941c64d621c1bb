r"""Repair: noise removed, and a missing square filled, by one network.

A digit :math:`x` is damaged by noise on all its pixels, or a square of 12x12 pixels is missing
(there :math:`m = 0`, elsewhere 1), or both:

.. math::

   \tilde x = m \odot (x + \sigma \epsilon), \quad \epsilon \sim \mathcal N(0, I), \qquad
   \hat x = f(\tilde x, m), \qquad \text{loss} = \mathrm{mean}\,(\hat x - x)^2

The network :math:`f` sees the damaged digit and which pixels are known. It halves the image twice,
so that a pixel of the smallest one sees all of the digit, and doubles it again by PixelShuffle; a
skip over each halving, :math:`y = x + F(x)`, keeps what is fine. The squared error is least for the
mean of all digits that could have been there: where several could, the filling is grey. Beside it:
the missing pixels as the mean of the known ones, or of the training digits; of that, 3x3 means. The
root mean squared error is that of all pixels, or of the square's where there is no noise.

.. image:: /images/systems/inpainting.png
   :alt: Twelve digits with noise, with a missing square and with both, and each row repaired

With the default arguments: 0.089 against noise of 0.4, where 3x3 means leave 0.169; in the square
0.273, the mean digit 0.404; both, 0.144 and 0.221.

Source: D0-INPAINT. Test: tests/test_inpainting.py.
"""

import argparse

import numpy as np

import minidl
from minidl import data, nn, optim, plots
from minidl import functional as F

SIDE, NOISE = 12, 0.4         # of the test digits' damages; trained with noise from 0 to 0.5


def network(width: int = 16) -> nn.Module:
    """(N, 2, 28, 28), digit and mask, -> (N, 1, 28, 28)."""
    conv = lambda inputs, outputs, stride=1: nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    block = lambda c: nn.Residual(nn.Sequential(conv(c, c), nn.ReLU(), conv(c, c)))
    halved = lambda c, inside: nn.Residual(nn.Sequential(
        conv(c, 2 * c, stride=2), nn.ReLU(), inside,           # half the size, twice the channels
        nn.ReLU(), conv(2 * c, 4 * c), nn.PixelShuffle(2)))
    smallest = nn.Sequential(*[block(4 * width) for _ in range(3)])      # 7x7
    return nn.Sequential(conv(2, width), nn.ReLU(), halved(width, halved(2 * width, smallest)),
                         nn.ReLU(), conv(width, 1))


def damage(x: np.ndarray, noise: np.ndarray | float, side: np.ndarray | int,
           rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """x (N, 1, H, W) with noise and a missing square, and the mask, 1 where pixels are known.

    `noise` and `side`: numbers, or one a digit. The square keeps 4 pixels away from the border.
    """
    n, _, height, width = x.shape
    noise, side = (np.broadcast_to(a, n)[:, None, None, None] for a in (noise, side))
    most = min(height, width) - 8
    if noise.min() < 0 or side.min() < 0 or side.max() > most:
        raise ValueError(f"damage: noise must be at least 0 and side in 0 ... {most} for {x.shape},"
                         f" got noise from {noise.min()}, side {side.min()} ... {side.max()}")
    top, left = rng.integers(4, height - 3 - side), rng.integers(4, width - 3 - side)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    missing = ((top <= rows) & (rows < top + side) & (left <= columns) & (columns < left + side))
    known = (~missing).astype(np.float32)
    epsilon = rng.standard_normal(x.shape, dtype=np.float32)
    return known * (x + noise.astype(np.float32) * epsilon), known


def known_mean(damaged: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Missing pixels as the mean of the image's known ones."""
    mean = damaged.sum((-2, -1), keepdims=True) / known.sum((-2, -1), keepdims=True)
    return np.where(known == 1, damaged, mean)


def repair(model: nn.Module, damaged: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What the network makes of it, cut to [0, 1]."""
    loader = data.DataLoader((np.concatenate([damaged, known], 1),), batch_size=250)
    with minidl.no_grad():
        return np.concatenate([model(x).numpy() for (x,) in loader]).clip(0, 1)


def rmse(y: np.ndarray, x: np.ndarray, where: np.ndarray) -> float:
    """The root of the mean squared error over the pixels where `where` is not 0."""
    return float(np.sqrt(np.mean((y - x)[where != 0] ** 2)))


def train(model: nn.Module, images: np.ndarray, epochs: int, seed: int) -> None:
    """Adam on the mean squared error; images uint8 (N, 1, H, W), damaged anew in every epoch."""
    rng = np.random.default_rng(seed)
    loader = data.DataLoader((images,), batch_size=64, shuffle=True, seed=seed)
    optimizer = optim.Adam(model.parameters())
    schedule = optim.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * len(loader))
    for epoch in range(1, epochs + 1):
        for step, (x,) in enumerate(loader):
            noise, side = rng.uniform(0, 0.5, len(x)), rng.choice([0, SIDE], len(x))
            damaged, known = damage(x.numpy(), noise, side, rng)
            loss = F.mse_loss(model(minidl.tensor(np.concatenate([damaged, known], 1))), x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if step % 100 == 0:
                print(f"epoch {epoch}, step {step} of {len(loader)}: {loss.item():.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="640 digits")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="inpainting.png", metavar="FILE.png")
    args = parser.parse_args()
    minidl.manual_seed(args.seed)
    images, test = data.mnist().train.images, data.mnist().test.images
    if args.quick:
        images, test, args.epochs = images[:640], test[:200], 1
    model = network()
    train(model, images, args.epochs, args.seed)

    rng, x = np.random.default_rng(args.seed + 1), test / np.float32(255)
    rows, mean_digit = {"original": x}, images.mean(0, dtype=np.float32) / np.float32(255)
    print("RMSE         damaged  known mean  mean digit    3x3 mean     network")
    for damages, noise, side in (("noise", NOISE, 0), ("square", 0, SIDE), ("both", NOISE, SIDE)):
        damaged, known = damage(x, noise, side, rng)
        filled = np.where(known == 1, damaged, mean_digit)
        smooth = F.avg_pool2d(minidl.tensor(filled), 3, stride=1, padding=1).numpy()
        repaired = repair(model, damaged, known)
        judged = 1 - known if damages == "square" else np.ones_like(x)
        tried = damaged, known_mean(damaged, known), filled, smooth, repaired
        print(f"{damages:8}" + "".join(f"{rmse(y, x, judged):12.3f}" for y in tried))
        rows |= {damages: np.where(known == 1, damaged, 0.5), f"{damages}, repaired": repaired}
    plots.rows({name: digits[:12] for name, digits in rows.items()}).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    main()
