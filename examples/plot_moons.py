"""A small network learns two moons.

Two half circles that no straight line separates; a network with one hidden layer bends its line
between them. The plane is coloured by what the network thinks of each point.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import functional as F
from minidl import nn, optim
from minidl.plots import BLUE, ORANGE, blue_orange

# %%
# The data: 200 points, half of them on each moon.
rng = np.random.default_rng(0)
angle, label = rng.uniform(0, np.pi, 200), np.arange(200) % 2
points = np.stack([np.cos(angle), np.sin(angle)], 1) * np.where(label, -1, 1)[:, None]
points += np.stack([label * 1.0, label * 0.5], 1) + rng.normal(0, 0.12, (200, 2))

# %%
# The network, and 300 steps of Adam on all points at once.
minidl.manual_seed(0)
x, y = minidl.tensor(points, dtype=minidl.float32), minidl.tensor(label)
model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
optimizer = optim.Adam(model.parameters(), lr=0.05)
for _ in range(300):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"cross entropy {loss.item():.4f} nats, "
      f"{(model(x).argmax(1) == y).float().mean().item():.1%} right")

# %%
# What it thinks of every point of the plane.
u, v = np.meshgrid(np.linspace(-1.6, 2.6, 200), np.linspace(-1.1, 1.6, 150))
with minidl.no_grad():
    plane = minidl.tensor(np.stack([u.ravel(), v.ravel()], 1), dtype=minidl.float32)
    p = F.softmax(model(plane), 1).numpy()[:, 1].reshape(u.shape)
plt.figure(figsize=(7, 4.4))
plt.contourf(u, v, p, levels=40, cmap=blue_orange(), alpha=0.6)
plt.colorbar(label="probability of the lower moon", ticks=[0, 0.25, 0.5, 0.75, 1])
plt.contour(u, v, p, levels=[0.5], colors="#374151", linestyles="--")
for c, color in enumerate((BLUE, ORANGE)):
    plt.scatter(*points[label == c].T, s=18, color=color, edgecolors="white", linewidths=0.5)
plt.title("Two moons, and the line between them")
plt.gca().set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
plt.tight_layout()
plt.show()
