"""Train a variational autoencoder on digits, and draw from it.

The network of document D1 with 20 latent variables, its four steps (document D3, section 3.3.2)
written out. `--quick` takes a few steps.
"""

import argparse

import minidl
from minidl import data, optim, plots
from minidl import functional as F
from minidl.models import MODELS
from minidl.training.outputs import prior_samples

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--latent", type=int, default=20)
parser.add_argument("--quick", action="store_true", help="256 digits, one epoch")
args = parser.parse_args()

minidl.manual_seed(0)
train = data.mnist().train
if args.quick:
    train, args.epochs = train[:256], 1

vae = MODELS["vae"].build(latent=args.latent)
optimizer = optim.Adam(vae.parameters(), lr=1e-3)
loader = data.DataLoader(train, batch_size=128, shuffle=True)

for epoch in range(1, args.epochs + 1):
    for step, (x, _) in enumerate(loader):
        mu, logvar = vae.encode(x)                            # 1. mean and variance of z
        z = F.reparameterize(mu, logvar)                      # 2. z = mu + sigma * epsilon
        logits = vae.decode(z)                                # 3. the image again
        log_likelihood = F.bernoulli_log_likelihood(logits, x)
        kl = F.gaussian_kl(mu, logvar, reduction="none")
        loss = -F.elbo(log_likelihood, kl)                    # 4. both, in nats an image
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"epoch {epoch}, step {step}/{len(loader)}: -ELBO {loss.item():.1f}, "
                  f"of it KL {kl.mean().item():.1f}")

if plots.matplotlib_problem() is None:
    plots.grid(prior_samples(vae, 64), "Samples from the prior").savefig("vae-samples.png")
    print("samples: vae-samples.png")
