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

With the default arguments the network leaves 0.089 of noise of 0.4, 3x3 means 0.169; in the square
0.273, where the mean digit leaves 0.404 and its 3x3 means 0.385; of both damages 0.144, 3x3 means
of the filled digit 0.221.

Source: D0-INPAINT. Test: tests/test_inpainting.py.
"""

import numpy as np

import minidl
from minidl import data, nn, optim, plots, script
from minidl import functional as F
from minidl.training import predict

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
    if not (0 <= noise.min() <= noise.max() < np.inf and 0 <= side.min() <= side.max() <= most):
        raise ValueError(f"damage: noise must be finite and at least 0, side in 0 ... {most} for "
                         f"{x.shape}, got noise {noise.min()} ... {noise.max()}, "
                         f"side {side.min()} ... {side.max()}")
    top, left = rng.integers(4, height - 3 - side), rng.integers(4, width - 3 - side)
    rows, columns = np.arange(height)[:, None], np.arange(width)
    missing = ((top <= rows) & (rows < top + side) & (left <= columns) & (columns < left + side))
    known = (~missing).astype(np.float32)
    epsilon = rng.standard_normal(x.shape, dtype=np.float32)
    return known * (x + noise.astype(np.float32) * epsilon), known


def known_mean(damaged: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Missing pixels as the mean of the image's known ones."""
    count = known.sum((-2, -1), keepdims=True)
    if not count.all():
        raise ValueError("known_mean: an image has no known pixel")
    return np.where(known == 1, damaged, damaged.sum((-2, -1), keepdims=True) / count)


def repair(model: nn.Module, damaged: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What the network makes of it, cut to [0, 1]."""
    return predict(model, np.concatenate([damaged, known], 1)).clip(0, 1)


def rmse(y: np.ndarray, x: np.ndarray, where: np.ndarray) -> float:
    """The root of the mean squared error over the pixels where `where` is not 0."""
    if not np.any(where):
        raise ValueError("rmse: `where` chooses no pixel")
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
            if step % 50 == 0:
                print(f"epoch {epoch}, step {step} of {len(loader)}: {loss.item():.4f}", flush=True)


def repairs(model: nn.Module, damaged: np.ndarray, known: np.ndarray, mean_digit: np.ndarray
            ) -> dict[str, np.ndarray]:
    """The digits as they are, by the plain repairs and by the network: the table's columns."""
    filled = np.where(known == 1, damaged, mean_digit)
    smooth = F.avg_pool2d(minidl.tensor(filled), 3, stride=1, padding=1).numpy()
    return {"damaged": damaged, "known mean": known_mean(damaged, known), "mean digit": filled,
            "3x3 mean": smooth, "network": repair(model, damaged, known)}


def main() -> None:
    parser = script.parser(__doc__, "inpainting.png", quick="640 digits, one epoch")
    parser.add_argument("--epochs", type=script.at_least(1), default=1, metavar="N",
                        help="default 1, with --quick too")
    args = parser.parse_args()
    minidl.manual_seed(args.seed)
    mnist = data.mnist()
    images, test = mnist.train.images, mnist.test.images
    if args.quick:
        images, test = images[:640], test[:200]
    model = network()
    train(model, images, args.epochs, args.seed)

    rng, x = np.random.default_rng(args.seed + 1), test / np.float32(255)
    mean_digit = images.mean(0, dtype=np.float32) / np.float32(255)
    rows = {"original": x}
    print("RMSE         damaged  known mean  mean digit    3x3 mean     network")
    for name, noise, side in (("noise", NOISE, 0), ("square", 0, SIDE), ("both", NOISE, SIDE)):
        damaged, known = damage(x, noise, side, rng)
        tried = repairs(model, damaged, known, mean_digit)
        judged = 1 - known if name == "square" else np.ones_like(x)
        print(f"{name:8}" + "".join(f"{rmse(y, x, judged):12.3f}" for y in tried.values()))
        rows[name] = np.where(known == 1, damaged, 0.5)
        rows[f"{name}, repaired"] = tried["network"]
    plots.rows({name: digits[:12] for name, digits in rows.items()}).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
