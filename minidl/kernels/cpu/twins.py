"""The kernels for the CPU, under the names of what they replace."""

from __future__ import annotations

from . import conv, elementwise, memory, noise, norm, pool, product, update

CPU_KERNELS = {function.__name__: function for function in (
    conv._conv2d, conv._conv2d_input_grad, conv._conv2d_weight_grad,
    product._matmul_arrays, product._linear_arrays,
    elementwise._relu, elementwise._relu_grad, elementwise._leaky_relu,
    elementwise._leaky_relu_grad, elementwise._bias_activation,
    elementwise._bias_activation_grad, elementwise.array_sum, elementwise._normal_cdf,
    pool._max_pool2d, pool._scatter_taps, pool._sum_pool2d, pool._sum_pool2d_grad,
    norm._batch_norm, norm._batch_norm_grad, noise._dropout_mask,
    update._sgd, update._sgd_momentum, update._rmsprop, update._adam, update._adagrad,
)}

memory.keep_freed_memory()
