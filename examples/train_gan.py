"""Train a GAN to draw digits.

A generator makes digits from noise, a discriminator tells them from real ones; each learns from
the other. The networks are those of document D1, which makes 28x28 digits from 7x7. `--quick` takes
a few steps: enough to see that everything works, too few for digits.
"""

import argparse

import minidl
from minidl import data, optim, plots
from minidl import functional as F
from minidl.models import MODELS
from minidl.training.outputs import samples

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--quick", action="store_true", help="128 digits, one epoch")
args = parser.parse_args()

minidl.manual_seed(0)
train = data.mnist().train
if args.quick:
    train, args.epochs = train[:128], 1

gan = MODELS["gan"].build()
G, D = gan.generator, gan.discriminator
g_optimizer = optim.RMSprop(G.parameters(), lr=2e-4, alpha=0.5)
d_optimizer = optim.RMSprop(D.parameters(), lr=2e-4, alpha=0.5)
loader = data.DataLoader(train, batch_size=64, shuffle=True, drop_last=True, scale="tanh")

for epoch in range(1, args.epochs + 1):
    gan.train()
    for step, (real, _) in enumerate(loader):
        fake = G(gan.noise(len(real))).detach()               # D's turn: G is not trained
        d_loss = F.gan_discriminator_loss(D(real), D(fake))
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        D.requires_grad_(False)                               # G's turn: D only judges
        g_loss = F.gan_generator_loss(D(G(gan.noise(len(real)))))
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        D.requires_grad_(True)
        if step % 10 == 0:
            print(f"epoch {epoch}, step {step}/{len(loader)}: "
                  f"D's loss {d_loss.item():.3f}, G's {g_loss.item():.3f}")

    if plots.matplotlib_problem() is None:
        plots.grid(samples(gan, 64), f"epoch {epoch}").savefig("gan-samples.png")
        print("samples: gan-samples.png")
