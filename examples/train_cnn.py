"""Train a convolutional network on the digits of MNIST.

The network of document D1, its loop written out. `--quick` takes 2,000 digits instead of 60,000.
"""

import argparse

import minidl
from minidl import data, metrics, nn, optim
from minidl import functional as F

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=5)
parser.add_argument("--quick", action="store_true", help="a few digits, one epoch")
args = parser.parse_args()

minidl.manual_seed(0)
mnist = data.mnist()
train, test = mnist.train, mnist.test
if args.quick:
    train, test, args.epochs = train[:2000], test[:500], 1

model = nn.Sequential(
    nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
    nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
    nn.Linear(576, 64), nn.ReLU(),
    nn.Linear(64, 10),
)
optimizer = optim.Adam(model.parameters(), lr=1e-3)
loader = data.DataLoader(train, batch_size=64, shuffle=True)

for epoch in range(1, args.epochs + 1):
    model.train()
    for step, (images, labels) in enumerate(loader):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 0:
            print(f"epoch {epoch}, step {step}/{len(loader)}: loss {loss.item():.3f}")

    model.eval()
    called = []
    with minidl.no_grad():
        for images, _ in data.DataLoader(test, batch_size=250):
            called += model(images).argmax(1).tolist()
    print(f"epoch {epoch}: {metrics.accuracy(test.labels, called):.2%} of the test digits right")
