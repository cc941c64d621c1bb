r"""Segmentation: every pixel of a scene of several digits is given its class.

A scene of 56x56 pixels has a digit of MNIST in each quarter, in one of five cases none, moved by up
to 8 pixels towards the middle, so that they touch and overlap, later ones over earlier. A pixel is
of the class of the digit whose ink, 1/2 or more, is seen there, or background. The network is a
small U-Net (Ronneberger et al., 2015): convolutions at four sizes, halved by max pooling on the way
down, doubled by transposed convolutions on the way up, where the channels that this size had on the
way down are added as further channels. It learns by the pixels' cross entropy, from scenes made
anew for every step.

The measure is intersection over union, a mean over the classes. :math:`T_c` are the pixels of all
test scenes that are of class :math:`c`, :math:`\hat T_c` those that the network takes for class
:math:`c`:

.. math:: \mathrm{IoU}_c = |T_c \cap \hat T_c|\,/\,|T_c \cup \hat T_c|

.. image:: /images/systems/segmentation.png
   :alt: Seven scenes of digits, the classes of their pixels, and what the network calls them

With the default arguments: mean IoU 0.927, 0.998 of the background, 0.90 to 0.95 of the digits.
Source: D2-SEG. Test: tests/test_segmentation.py.
"""

import numpy as np

import minidl
from minidl import data, metrics, nn, optim, plots, script
from minidl import functional as F
from minidl.training import predict

SIDE = 28                                       # of a digit; a scene is twice as large
CLASSES = ("background", *"0123456789")


def scenes(digits: data.ArrayDataset, n: int, rng: np.random.Generator
           ) -> tuple[np.ndarray, np.ndarray]:
    """`n` scenes (N, 1, 56, 56) in [0, 1] and their classes (N, 56, 56); class c + 1 is digit c."""
    if digits.images.shape[1:] != (1, SIDE, SIDE):
        raise ValueError(f"scenes: digits must be (N, 1, 28, 28), got {digits.images.shape}")
    image = np.zeros((n, 2 * SIDE, 2 * SIDE), np.float32)
    target = np.zeros(image.shape, np.int64)
    for top, left in ((0, 0), (0, 20), (20, 0), (20, 20)):                         # the quarters
        chosen, there = rng.integers(len(digits), size=n), rng.random((n, 1, 1)) < 0.8
        ink = there * digits.images[chosen, 0] / np.float32(255)
        down, right = rng.integers(0, 9, (2, n, 1))             # how far each digit is moved (N, 1)
        y = top + down + np.arange(SIDE)                        # its rows of the scene (N, 28)
        x = left + right + np.arange(SIDE)                      # its columns (N, 28)
        place = np.arange(n)[:, None, None], y[:, :, None], x[:, None, :]       # (N, 28, 28) pixels
        image[place] = np.where(ink >= 0.5, ink, np.maximum(image[place], ink))
        target[place] = np.where(ink >= 0.5, digits.labels[chosen, None, None] + 1, target[place])
    return image[:, None], target


def convolutions(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())


class Level(nn.Module):
    """One size of a U-Net: (N, inputs, H, W) -> (N, channels[0], H, W); below it half the size."""

    def __init__(self, inputs: int, *channels: int):
        super().__init__()
        if not channels:
            raise ValueError("Level: channels are missing, a number for each size")
        c, *self.lower = channels                           # here, and at each size below
        self.down = convolutions(inputs, c)
        if self.lower:
            self.below = Level(c, *self.lower)
            self.double = nn.ConvTranspose2d(self.lower[0], c, 2, stride=2)
            self.up = convolutions(2 * c, c)

    def forward(self, x: minidl.Tensor) -> minidl.Tensor:
        seen = self.down(x)
        if not self.lower:
            return seen
        below = self.double(self.below(F.max_pool2d(seen, 2)))
        return self.up(F.cat([seen, below], 1))


def unet(*channels: int) -> nn.Module:
    """(N, 1, H, W) -> scores (N, 11, H, W); H and W must halve as often as there are levels."""
    return nn.Sequential(Level(1, *channels), nn.Conv2d(channels[0], len(CLASSES), 1))


def iou(target: np.ndarray, called: np.ndarray) -> np.ndarray:
    """Intersection over union of each class (11,); NaN for one that is neither there nor called."""
    matrix = metrics.confusion_matrix(target.ravel(), called.ravel(), range(len(CLASSES)))
    either = matrix.sum(0) + matrix.sum(1) - matrix.diagonal()
    return matrix.diagonal() / np.where(either, either, np.nan)


def classify(model: nn.Module, images: np.ndarray) -> np.ndarray:
    """The class with the largest score of each pixel, (N, H, W)."""
    return predict(model, images, batch_size=50).argmax(1)


def train(model: nn.Module, digits: data.ArrayDataset, steps: int, rng: np.random.Generator,
          batch_size: int = 8) -> None:
    optimizer = optim.Adam(model.parameters())
    schedule = optim.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps, pct_start=0.15)
    for step in range(1, steps + 1):
        images, target = map(minidl.tensor, scenes(digits, batch_size, rng))
        loss = F.cross_entropy(model(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 0 or step == steps:
            print(f"step {step}/{steps}: loss {loss.item():.4f} nats a pixel", flush=True)


@plots.picture(8, 4.25)
def draw(figure, images: np.ndarray, target: np.ndarray, called: np.ndarray, n: int = 7) -> None:
    """`n` scenes, below them their classes, a colour each, and below these what was called."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch
    palette = np.array([to_rgb(colour) for colour in ("#f3f4f6", *plots.TEN)])
    coloured = lambda classes: palette[classes[:n]].transpose(0, 3, 1, 2)
    sheet = np.concatenate([images[:n].repeat(3, 1), coloured(target), coloured(called)])
    title = "Scenes, the classes of their pixels, what the network calls them"
    plots.grid(sheet, title, n, figure=figure)
    patches = [Patch(color=c, label=d) for c, d in zip(plots.TEN, CLASSES[1:])]
    figure.legend(handles=patches, ncols=10, loc="outside lower center", frameon=False)


def main() -> None:
    parser = script.parser(__doc__, "segmentation.png", quick="10 steps, 20 test scenes")
    parser.add_argument("--steps", type=script.at_least(7),
                        help="default 2000, with --quick 10; at least 7, for the rate to rise")
    args = parser.parse_args()
    minidl.manual_seed(args.seed)
    rng, mnist = np.random.default_rng(args.seed), data.mnist()
    steps = args.steps or (10 if args.quick else 2000)
    images, target = scenes(mnist.test, 20 if args.quick else 500, rng)
    model = unet(16, 32, 64, 128)
    train(model, mnist.train, steps, rng)
    called = classify(model, images)
    each = iou(target, called)
    for name, value in zip(CLASSES, each):
        print(f"IoU of {name:10} {value:6.3f}")
    print(f"IoU of {'mean':10} {np.nanmean(each):6.3f}")
    draw(images, target, called).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
