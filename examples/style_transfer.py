r"""Style transfer: the picture itself is the parameter.

.. image:: /images/systems/style_transfer.png
   :alt: A portrait, a drawing of bands, and the portrait in the bands' manner, twice.

Each layer :math:`l` of a network makes features of a picture :math:`x`, a matrix :math:`F_l(x)` of
channels by pixels; :math:`F_0` is the picture itself. The last layer's features tell what is where.
A Gram matrix tells which features go together, wherever that is: the style.

.. math:: G_l(x) &= F_l(x)\,F_l(x)^\top / (H_l W_l), \qquad d(a,b) = \|a-b\|^2 / \|b\|^2 \\
          L(x) &= d(F_5(x), F_5(c)) + \frac\beta6 \sum_{l=0}^5 d(G_l(x), G_l(s)) + \tau\,d(x, x')

Adam begins at the content picture :math:`c` and changes its pixels; :math:`s` is the style picture,
and :math:`x'` is :math:`x` moved by a pixel. One network has learned to tell shapes apart
(``data.synthetic_rgb``), one has random weights. The portrait is matplotlib's sample: Grace Hopper,
by the United States Navy, in the public domain. The style is drawn by code.

With the default arguments: trained features give short strokes and keep the face (style term 0.57
to 0.027, content term 0.41); random ones give bands, and the face is lost (6.51 to 0.036, 1.07).
Source: D1-STYLE (Gatys, Ecker, Bethge, 2016). Test: tests/test_style_transfer.py.
"""

import numpy as np

import minidl
from minidl import data, nn, optim, plots, script
from minidl.training import ClassifierSteps


def load(file, height: int) -> np.ndarray:
    """A picture file as (1, 3, height, 4/5 height), cropped to that shape, pixels in [0, 1]."""
    from PIL import Image, ImageOps
    with Image.open(file) as picture:
        picture = ImageOps.fit(picture.convert("RGB"), (height * 4 // 5, height))
    return np.asarray(picture, np.float32).transpose(2, 0, 1)[None] / 255


def swirls(height: int, width: int) -> np.ndarray:
    """The style: bands in five colours, bent by waves (1, 3, height, width)."""
    y, x = np.mgrid[:height, :width] / 32
    for a, b, p, q in np.random.default_rng(0).uniform(0.4, 1.2, (4, 4)):
        x, y = x + 0.6 * np.sin(a * y + 6 * p), y + 0.6 * np.sin(b * x + 6 * q)
    tone = 2 + 1.1 * np.sin(3 * np.pi * x) + 0.9 * np.sin(y)                  # 0 to 4
    colors = [[18, 36, 84], [36, 92, 160], [240, 196, 60], [250, 240, 210], [200, 70, 30]]
    return np.float32([[np.interp(tone, range(5), c) for c in np.transpose(colors) / 255]])


def network(seed: int, momentum: float | None = 0.1) -> nn.Sequential:
    """Five convolutions with batch normalisation and ReLU; a pool after every second."""
    minidl.manual_seed(seed)
    block = lambda c, o: [nn.Conv2d(c, o, 3, padding=1, bias=False),
                          nn.BatchNorm2d(o, momentum=momentum), nn.ReLU()]
    return nn.Sequential(*block(3, 32), *block(32, 32), nn.AvgPool2d(2),
                         *block(32, 64), *block(64, 64), nn.AvgPool2d(2), *block(64, 64))


def untrained(seed: int, images: np.ndarray) -> nn.Sequential:
    """The network with random weights; its running statistics are the means over `images`."""
    net = network(seed, momentum=None).requires_grad_(False)    # None: all batches count alike
    for (x,) in data.DataLoader((images,), 100):
        net(x)
    return net


def train(net, shapes, epochs: int, seed: int) -> None:
    """Teach `net`, with a head that is thrown away, to tell shapes apart."""
    model = nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    steps = ClassifierSteps(model, optim.Adam(model.parameters(), lr=2e-3))
    loader = data.DataLoader(shapes.train, 64, shuffle=True, seed=seed)
    for epoch in range(epochs):
        for x, label in loader:
            told = steps.step(x, label)
        print(f"training, epoch {epoch + 1} of {epochs}: loss {told['loss'].item():.3f}")
    accuracy = steps.evaluate(data.DataLoader(shapes.test, 100))["accuracy"]
    print(f"{accuracy:.1%} of new shapes called right")


def features(net, x) -> list:
    """F_0 ... F_5 (1, C, H, W): the picture, and what each batch normalisation makes of it."""
    found = [x]
    for layer in net:
        x = layer(x)
        found += [x] if isinstance(layer, nn.BatchNorm2d) else []
    return found


def gram(f):
    """(1, C, H, W) -> (C, C): the mean over all pixels of the products of two channels."""
    f = f.reshape(f.shape[1], -1)
    return f @ f.transpose(0, 1) / f.shape[1]


def distance(a, b):
    """||a - b||^2 / ||b||^2."""
    return (a - b).square().sum() / b.square().sum()


def transfer(net, content, style, steps: int, beta=10.0, tau=3.0):
    """The picture (1, 3, H, W) after `steps` of Adam, and content and style term on the way."""
    for name, picture in (("content", content), ("style", style)):
        if picture.shape[:2] != (1, 3) or picture.ndim != 4 or min(picture.shape[2:]) < 16:
            raise ValueError(f"{name}: shape {picture.shape}, (1, 3, >= 16, >= 16) is needed")
    net.eval().requires_grad_(False)
    x = minidl.tensor(content, requires_grad=True)
    wanted = features(net, x.detach())[-1]
    grams = [gram(f) for f in features(net, minidl.tensor(style))]
    optimizer, terms = optim.Adam([x]), []
    for step in range(steps + 1):
        found = features(net, x)
        c = distance(found[-1], wanted)
        s = sum(distance(gram(f), g) for f, g in zip(found, grams)) / len(grams)
        rough = distance(x[:, :, 1:], x[:, :, :-1]) + distance(x[..., 1:], x[..., :-1])
        terms.append((c.item(), s.item()))
        if step % 25 == 0 or step == steps:
            print(f"step {step}: content {c.item():.3f}, style {s.item():.4f}")
        optimizer.param_groups[0]["lr"] = 0.06 * (steps - step) / (steps + 1)   # 0 at last
        optimizer.zero_grad()
        (c + beta * s + tau * rough).backward()
        optimizer.step()
        with minidl.no_grad():
            x.clamp_(0, 1)
    return x.numpy(), terms


def main() -> None:
    parser = script.parser(__doc__, "style_transfer.png", quick="few shapes, steps and pixels")
    parser.add_argument("--content", metavar="FILE", help="a picture (default: the portrait)")
    parser.add_argument("--style", metavar="FILE", help="a picture (default: the bands)")
    args = parser.parse_args()
    n, epochs, steps, height = (200, 1, 5, 48) if args.quick else (3000, 4, 150, 200)
    from matplotlib.cbook import get_sample_data
    portrait, option = get_sample_data("grace_hopper.jpg", asfileobj=False), "--content"
    try:
        content, option = load(args.content or portrait, height), "--style"
        style = load(args.style, height) if args.style else swirls(*content.shape[2:])
    except OSError as problem:                         # no such file, or no picture in it
        parser.error(f"{option}: {problem}")
    shapes = data.synthetic_rgb(n, args.seed)
    trained, random = network(args.seed), untrained(args.seed + 1, shapes.train.images[:1000])
    train(trained, shapes, epochs, args.seed)
    print("with trained features, then with random ones:")
    made = [transfer(net, content, style, steps)[0] for net in (trained, random)]
    title = "Content and style; with trained, with random features"
    plots.grid(np.concatenate([content, style, *made]), title, columns=2).savefig(args.out)
    print(f"picture: {args.out}")


if __name__ == "__main__":
    script.run(main)
