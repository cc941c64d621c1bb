"""The kernels for the CPU, under the names of what they replace."""

from __future__ import annotations

from . import conv, elementwise, loss, memory, noise, norm, pool, product, transpose, update

TABLE = {function.__name__: function for function in (
    conv._conv2d, conv._conv2d_input_grad, conv._conv2d_weight_grad,
    product._matmul_arrays, product._linear_arrays,
    elementwise._relu, elementwise._relu_grad, elementwise._leaky_relu,
    elementwise._leaky_relu_grad, elementwise._bias_activation,
    elementwise._bias_activation_grad, elementwise.array_sum,
    elementwise._tanh, elementwise._tanh_grad, elementwise._normal_cdf,
    elementwise._product_arrays, elementwise._sum_arrays,
    pool._max_pool2d, pool._scatter_taps, pool._sum_pool2d, pool._sum_pool2d_grad,
    norm._batch_norm, norm._batch_norm_grad,
    loss._cross_entropy, loss._cross_entropy_grad, loss._bce_logits, loss._bce_logits_grad,
    noise._dropout_mask,
    update._sgd, update._sgd_momentum, update._rmsprop, update._adam, update._adagrad,
    transpose._reshaped,
)}

memory.keep_freed_memory()
