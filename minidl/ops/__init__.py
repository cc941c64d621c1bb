"""The ops, a file a family. Each is a formula, its forward pass and its backward pass.

arithmetic  + - * / ** and functions of one number      reduce      sums, extremes, softmax
shape       rearranging, joining, indexing, padding      linear      matrix products, dense layer
conv        convolution and its two gradients            pool        maximum and sum of windows
activation  relu ... tanh                                norm        batch, layer, group norm
loss        predictions against targets                  generative  GAN and VAE formulas
attention   scores, softmax, heads                       dropout     random masks
terms       how an op declares its index map
"""

from .activation import elu, gelu, leaky_relu, relu, sigmoid, softplus, tanh
from .arithmetic import (abs, add, clamp, clone, contiguous, cos, div, exp, log, maximum, minimum,
                         mul, neg, pow, sin, sqrt, sub, to, where)
from .linear import embedding, linear, matmul
from .norm import batch_norm, group_norm, layer_norm
from .reduce import (amax, amin, argmax, argmin, log_softmax, logsumexp, max, mean, min, norm,
                     softmax, std, sum, var)
from .shape import (cat, chunk, expand, flatten, flip, getitem, pad, permute, plain_index, reshape,
                    split, squeeze, stack, transpose, unsqueeze)

__all__ = ["abs", "add", "amax", "amin", "argmax", "argmin", "batch_norm", "cat", "chunk", "clamp",
           "clone", "contiguous", "cos", "div", "elu", "embedding", "exp", "expand", "flatten",
           "flip", "gelu", "getitem", "group_norm", "layer_norm", "leaky_relu", "linear", "log",
           "log_softmax", "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mul",
           "neg", "norm", "pad", "permute", "plain_index", "pow", "relu", "reshape", "sigmoid",
           "sin", "softmax", "softplus", "split", "sqrt", "squeeze", "stack", "std", "sub", "sum",
           "tanh", "to", "transpose", "unsqueeze", "var", "where"]
