"""Optimisers in a valley.

A long valley, 30 times steeper across than along. Plain gradient descent with a rate that survives
the steep walls creeps along the floor; momentum gathers speed there; RMSprop and Adam divide by the
gradient's usual size, so that both directions count alike.
"""

import matplotlib.pyplot as plt
import numpy as np

import minidl
from minidl import optim
from minidl.plots import TEN, Film

STEPS, START = 60, [-4.0, 1.2]
RULES = {
    "SGD": lambda p: optim.SGD([p], lr=0.03),
    "SGD, momentum 0.9": lambda p: optim.SGD([p], lr=0.03, momentum=0.9),
    "RMSprop": lambda p: optim.RMSprop([p], lr=0.1),
    "Adam": lambda p: optim.Adam([p], lr=0.3),
}


# %%
# The loss, and the path of each optimiser: the updates of a recorded run.
def valley(p):
    return (p[0] ** 2 + 30 * p[1] ** 2) / 2


paths = {}
for name, rule in RULES.items():
    p = minidl.tensor(START, requires_grad=True)
    optimizer = rule(p)
    with minidl.record() as trace:
        for _ in range(STEPS):
            optimizer.zero_grad()
            valley(p).backward()
            optimizer.step()
    updates = [event for event in trace.events if event["phase"] == "update"]
    paths[name] = np.array([START] + [trace.arrays[event["after"]] for event in updates])


# %%
# All of them on one map, with lines of equal loss; and the loss at each step.
def draw(figure, i):
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    figure.subplots_adjust(left=0.08, right=0.98, top=0.88, bottom=0.16, wspace=0.22)
    u, v = np.meshgrid(np.linspace(-4.5, 2.5, 120), np.linspace(-1.6, 1.6, 80))
    left.contour(u, v, valley((u, v)), levels=np.geomspace(0.05, 45, 10), colors="#c3c8d0",
                 linewidths=0.8)
    for (name, path), color, marker in zip(paths.items(), TEN, "osD^"):
        left.plot(*path[:i + 1].T, color=color, linewidth=1, marker=marker, markersize=3)
        left.plot(*path[i], marker, color=color, markersize=9, markeredgecolor="white")
        right.semilogy(valley(path[:i + 1].T), color=color, marker=marker, markevery=10,
                       label=name)
    left.plot(0, 0, "k+", markersize=12)
    left.set(title=f"After {i} steps (+: the minimum)", xlabel="$p_1$", ylabel="$p_2$",
             xlim=(-4.5, 2.5), ylim=(-1.6, 1.6))
    right.set(title="Loss", xlabel="step", xlim=(0, STEPS), ylim=(1e-9, 100))
    right.minorticks_off()
    right.legend(fontsize=8, loc="lower left")


film = Film(lambda figure, i: draw(figure, 6 * i), 1 + STEPS // 6, (9, 3.8))
film.frame(figure=plt.figure())
plt.show()
