"""Gradients, and gradients of gradients.

What `backward` and `grad` compute, on numbers that you can check by hand, and then used: Newton's
method finds the minimum of Rosenbrock's function with first and second derivatives.
"""

import numpy as np

import minidl

# A value used twice collects both shares of its gradient.
a = minidl.tensor([1.0, 2.0], requires_grad=True)
b = a + a
c = b + b                                         # c = 4a
c.sum().backward()
print("d sum(c) / da =", a.grad.numpy())          # 4 and 4

# A gradient is a tensor like any other, if you ask for its graph.
x = minidl.tensor(2.0, requires_grad=True)
(slope,) = minidl.grad(x**3, x, create_graph=True)
(bend,) = minidl.grad(slope, x)
print(f"x^3 at 2: slope {slope.item():g}, second derivative {bend.item():g}")   # 12 and 12


def rosenbrock(p):
    """f(x, y) = (1 - x)^2 + 100 (y - x^2)^2, with its minimum 0 at (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def hessian(gradient, p):
    """Row i is the gradient of the gradient's entry i."""
    return np.stack([minidl.grad(g, p, retain_graph=True)[0].numpy() for g in gradient])


p = minidl.tensor([-1.2, 1.0], dtype=minidl.float64, requires_grad=True)
for step in range(20):
    (gradient,) = minidl.grad(rosenbrock(p), p, create_graph=True)
    size = np.abs(gradient.detach().numpy()).max()
    print(f"step {step}: p = {p.detach().numpy().round(6)}, largest slope {size:.2e}")
    if size < 1e-10:
        break
    towards = np.linalg.solve(hessian(gradient, p), gradient.detach().numpy())
    with minidl.no_grad():
        p -= towards
