"""The ops, a file a family. Each op is a formula, its forward pass and its backward pass.

arithmetic  + - * / **, exp                              reduce      sums, means, softmax
shape       rearranging, joining                         linear      matrix product, dense layer
conv        convolution and its two gradients            pool        maximum of windows
activation  relu, leaky relu, sigmoid, tanh              norm        batch norm
loss        cross entropy                                counted     which examples a loss counts
generative  GAN and VAE formulas                         dropout     random masks
windows     how many windows an image has                terms       how an op's index map is told
fused       a bias and its activation in one             more/       all further ops

For y = f(x), the backward pass gets gy, the gradient of the loss with respect to y (the upstream
gradient), and returns gx, the gradient with respect to x. The letters of another array or its
gradient are formed alike: w, gw.

* The *adjoint* of a linear f is its backward pass, the map from gy to gx, which is linear too. The
  adjoint of a sum gives gy to every summand. The adjoint of the adjoint is f.
* A *gather* picks elements: every element of y is an element of x. Its adjoint is a *scatter*:
  every element of gy is added to the place in gx that the element of y came from.
* ``@op(terms=...)`` says how a value is put together. Only explanations use ``terms``; a first
  reading can skip them.
* ``@arguments`` makes each argument what its annotation says, or refuses it by name.
* ``@op(views=True)`` says that y may be a view, an array that shares the memory of x.
* ``@replaceable("x", "w")`` marks arithmetic on arrays. A compiled kernel of the same name may run
  in its place, chosen by the arrays named. ``f.readable`` is f as it stands in the file, never the
  kernel: it is called where numbers shall not depend on which kernels there are.
"""

from .activation import leaky_relu, relu, sigmoid, tanh
from .arithmetic import add, div, exp, mul, neg, pow, sub, to
from .linear import linear
from .more.axes import chunk, expand, permute, split, squeeze, transpose
from .more.choices import where
from .more.copies import clone, contiguous
from .more.elementary import abs, cos, log, sin, sqrt
from .more.extremes import amax, amin, argmin, max, min
from .more.indexing import flip, getitem, pad, plain_index
from .more.limits import clamp, maximum, minimum
from .more.log_softmax import log_softmax, logsumexp
from .more.products import embedding, matmul
from .more.smooth_activation import elu, gelu, softplus
from .more.standardization import group_norm, layer_norm
from .more.variance import norm, std, var
from .norm import batch_norm
from .reduce import argmax, mean, softmax, sum
from .shape import cat, flatten, reshape, stack, unsqueeze
from . import conv, dropout, fused, generative, loss, pool
from .more import attention, critics, gaussians, probability_losses, regression
from .more import pooled_places, sum_pool

__all__ = ["abs", "add", "amax", "amin", "argmax", "argmin", "batch_norm", "cat", "chunk", "clamp",
           "clone", "contiguous", "cos", "div", "elu", "embedding", "exp", "expand", "flatten",
           "flip", "gelu", "getitem", "group_norm", "layer_norm", "leaky_relu", "linear", "log",
           "log_softmax", "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mul",
           "neg", "norm", "pad", "permute", "plain_index", "pow", "relu", "reshape", "sigmoid",
           "sin", "softmax", "softplus", "split", "sqrt", "squeeze", "stack", "std", "sub", "sum",
           "tanh", "to", "transpose", "unsqueeze", "var", "where"]
