"""Wrong input to the engine: each a clear error that names op, argument, value and rule (D13).

One table: what is done, the kind of error, and the words that must stand in it. Nothing may be left
half done. Errors of state dicts, checkpoints, data and training are tested where those are.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import minidl
import minidl.functional as F

T, z = minidl.tensor, minidl.zeros


def leaf(*shape):
    return minidl.ones(*shape, requires_grad=True)


def twice():
    y = leaf(3).sum()
    y.backward()
    y.backward()


def stale():
    x, w = leaf(3), minidl.ones(3)
    y = (x * w).sum()
    w.zero_()
    y.backward()


IMAGE, KERNEL = (1, 3, 4, 4), (4, 3, 3, 3)
WRONG = {
    # convolution: channels, sizes, options
    "channels": (lambda: F.conv2d(z(64, 1, 28, 28), z(8, 3, 3, 3)), ValueError,
                 "conv2d: weight expects 3 input channels, input (64, 1, 28, 28) has 1"),
    "channels of a transposed convolution": (
        lambda: F.conv_transpose2d(z(1, 2, 4, 4), z(3, 4, 3, 3)), ValueError,
        "conv_transpose2d: weight expects 3 input channels, input (1, 2, 4, 4) has 2"),
    "kernel larger than the image": (lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 7, 7), padding=1),
                                     ValueError, "conv2d: a kernel of extent (7, 7) does not fit "
                                     "an image that is (6, 6) with its padding"),
    "dilated kernel too large": (lambda: F.conv2d(z(1, 1, 4, 4), z(1, 1, 3, 3), dilation=2),
                                 ValueError, "a kernel of extent (5, 5)"),
    "window larger than the image": (lambda: F.max_pool2d(z(1, 1, 2, 2), 3), ValueError,
                                     "max_pool2d: a kernel of extent (3, 3)"),
    "zero stride": (lambda: F.conv2d(z(*IMAGE), z(*KERNEL), stride=0), ValueError,
                    "conv2d: stride must be a whole number, or 2 of them, at least 1, got 0"),
    "half a stride": (lambda: F.max_pool2d(z(*IMAGE), 2, 1.5), TypeError,
                      "max_pool2d: stride must be a whole number, or 2 of them, got 1.5"),
    "three strides": (lambda: F.conv2d(z(*IMAGE), z(*KERNEL), stride=(1, 2, 3)), ValueError,
                      "stride must be a whole number, or 2 of them, at least 1, got (1, 2, 3)"),
    "negative padding": (lambda: F.conv2d(z(*IMAGE), z(*KERNEL), padding=-1), ValueError,
                         "conv2d: padding must be a whole number, or 2 of them, at least 0, got"),
    "unknown padding": (lambda: F.conv2d(z(*IMAGE), z(*KERNEL), padding="full"), TypeError,
                        "conv2d: padding must be a whole number, or 2 of them, got 'full'"),
    "padding of a pool": (lambda: F.max_pool2d(z(*IMAGE), 2, padding=2), ValueError,
                          "max_pool2d: padding (2, 2) must be at most half of the window (2, 2)"),
    "groups": (lambda: F.conv2d(z(*IMAGE), z(4, 1, 3, 3), groups=3), ValueError,
               "conv2d: 4 channels do not divide into groups=3"),
    "groups that are no number": (lambda: F.conv2d(z(*IMAGE), z(*KERNEL), groups=1.0), TypeError,
                                  "conv2d: groups must be a whole number, got 1.0"),
    "bias": (lambda: F.conv2d(z(*IMAGE), z(*KERNEL), z(3)), ValueError,
             "conv2d: bias must have shape (4,), got (3,)"),
    "rank of an image": (lambda: F.conv2d(z(4, 4), z(*KERNEL)), ValueError,
                         "conv2d: input must be (N, C, H, W) or (C, H, W), got (4, 4)"),
    "rank of a weight": (lambda: F.conv2d(z(*IMAGE), z(4, 3, 3)), ValueError,
                         "conv2d: weight must be (O, C/groups, KH, KW), got (4, 3, 3)"),
    "rank of a signal": (lambda: F.conv1d(z(*IMAGE), z(3, 4, 1)), ValueError,
                         "conv1d: input must be (N, C, W) and weight (O, C/groups, KW)"),
    "images of bytes": (lambda: F.conv2d(T(np.zeros(IMAGE, np.uint8)), z(*KERNEL)), TypeError,
                        "conv2d: input must be floats, got uint8; use .float() first"),
    "output padding": (lambda: F.conv_transpose2d(z(*IMAGE), z(3, 4, 3, 3), output_padding=1),
                       ValueError, "conv_transpose2d: output_padding (1, 1) must be smaller than "
                       "stride (1, 1) or dilation (1, 1)"),
    "output padding beside same": (lambda: F.conv_transpose2d(
        z(*IMAGE), z(3, 4, 3, 3), stride=2, padding="same", output_padding=1), ValueError,
        'conv_transpose2d: output_padding (1, 1) is not for padding="same", whose output'),
    "nothing left": (lambda: F.conv_transpose2d(z(1, 3, 1, 1), z(3, 4, 1, 1), padding=1),
                     ValueError, "conv_transpose2d: padding (1, 1) leaves nothing of the output"),
    "refused by name": (lambda: F.avg_pool2d(z(*IMAGE), 2, divisor_override=3), ValueError,
                        "avg_pool2d: divisor_override is not offered"),
    "columns that do not fit": (lambda: F.fold(z(1, 4, 5), (3, 3), 2), ValueError,
                                "fold: input must be (N, C*4, 4), got (1, 4, 5)"),
    "rank for unfold": (lambda: F.unfold(z(3, 2, 2), 2), ValueError, "unfold: input must be (N, C"),
    # sizes of images
    "interpolation": (lambda: F.interpolate(z(*IMAGE), scale_factor=2, mode="bilinear"), ValueError,
                      'interpolate: only mode "nearest" is offered, got \'bilinear\''),
    "size and scale": (lambda: F.interpolate(z(*IMAGE), 8, 2), ValueError,
                       "interpolate: give either size or scale_factor"),
    "negative scale": (lambda: F.interpolate(z(*IMAGE), scale_factor=-1), ValueError,
                       "interpolate: scale_factor must be one or two positive numbers, got -1"),
    "channels to shuffle": (lambda: F.pixel_shuffle(z(*IMAGE), 2), ValueError,
                            "pixel_shuffle: 3 channels do not divide by 2^2"),
    # labels and probabilities
    "label out of range": (lambda: F.cross_entropy(z(2, 3), T([0, 3])), ValueError,
                           "cross_entropy: class numbers must be in [0, 2]; found 3"),
    "negative label": (lambda: F.cross_entropy(z(2, 3), T([-1, 0])), ValueError,
                       "cross_entropy: class numbers must be in [0, 2]; found -1"),
    "labels of floats": (lambda: F.cross_entropy(z(2, 3), T([0.0, 1.0])), TypeError,
                         "cross_entropy: class numbers must be integers, got dtype float32"),
    "labels of booleans": (lambda: F.cross_entropy(z(2, 2), T([True, False])), TypeError,
                           "cross_entropy: class numbers must be integers, got dtype bool"),
    "labels for nll_loss": (lambda: F.nll_loss(z(2, 3), T([0, 3])), ValueError,
                            "nll_loss: class numbers must be in [0, 2]; found 3"),
    "as many labels": (lambda: F.cross_entropy(z(2, 3), T([0, 1, 2])), ValueError,
                       "cross_entropy: target (3,) of class numbers must have shape (2,) for input "
                       "(2, 3)"),
    "class weights": (lambda: F.cross_entropy(z(2, 3), T([0, 1]), weight=z(2)), ValueError,
                      "cross_entropy: weight must have shape (3,), got (2,)"),
    "smoothing": (lambda: F.cross_entropy(z(2, 3), T([0, 1]), label_smoothing=1.5), ValueError,
                  "cross_entropy: label_smoothing must be in [0, 1], got 1.5"),
    "probabilities above 1": (lambda: F.binary_cross_entropy(T([0.5, 1.5]), T([1.0, 0.0])),
                              ValueError, "binary_cross_entropy: input must be probabilities in "
                              "[0, 1]; found 0.5 to 1.5"),
    "probabilities that are none": (
        lambda: F.binary_cross_entropy(T([float("nan")]), T([1.0])), ValueError,
        "binary_cross_entropy: input must be probabilities"),
    "targets above 1": (lambda: F.binary_cross_entropy(T([0.5]), T([2.0])), ValueError,
                        "binary_cross_entropy: target must be probabilities in [0, 1]; found 2"),
    "a target of another shape": (  # E0.3: labels (64, 1) against an output (64,)
        lambda: F.binary_cross_entropy(z(64), z(64, 1)), ValueError,
        "binary_cross_entropy: target (64, 1) must have the shape of input (64,)"),
    "reduction": (lambda: F.mse_loss(z(2), z(2), "average"), ValueError,
                  'mse_loss: reduction must be "mean", "sum" or "none", got \'average\''),
    "rows of a table": (lambda: F.embedding(T([0, 3]), z(3, 4)), ValueError,
                        "embedding: row numbers must be in [0, 2]; found 3"),
    "ignored class": (lambda: F.cross_entropy(z(2, 3), T([0, 1]), ignore_index=None), TypeError,
                      "cross_entropy: ignore_index must be a whole number, got None"),
    "no device": (lambda: minidl.rand(2, device=0), ValueError, 'device: expected "cpu"'),
    "one-hot of many": (lambda: F.one_hot(T([0, 10**9])), ValueError, "one_hot: label 1000000000 "
                        "would make 1,000,000,001 classes; more than 65,536 must be given by "
                        "num_classes="),
    "one-hot of floats": (lambda: F.one_hot(T([0.5])), TypeError, "one_hot: class numbers must be "
                          "integers, got dtype float32"),
    "one-hot": (lambda: F.one_hot(T([0, 3]), 3), ValueError, "one_hot: class numbers must be in"),
    # layers
    "features": (lambda: F.linear(z(2, 3), z(4, 5)), ValueError,
                 "linear: weight (4, 5) expects 5 input features, input has shape (2, 3)"),
    "one value a channel": (lambda: F.batch_norm(z(1, 3), training=True), ValueError,
                            "batch_norm: training needs more than one value for each channel, got "
                            "input (1, 3)"),
    "no statistics": (lambda: F.batch_norm(z(2, 3)), ValueError,
                      "batch_norm: evaluation needs running_mean and running_var"),
    "statistics": (lambda: F.batch_norm(z(2, 3), z(2), z(3)), ValueError,
                   "batch_norm: running_mean must have shape (3,) for input (2, 3), got (2,)"),
    "normalized shape": (lambda: F.layer_norm(z(2, 3), 4), ValueError,
                         "layer_norm: input (2, 3) does not end in (4,)"),
    "groups of channels": (lambda: F.group_norm(z(2, 3), 2), ValueError,
                           "group_norm: 3 channels do not divide into 2 groups"),
    "dropout": (lambda: F.dropout(z(3), 1.5), ValueError, "dropout: p must be in [0, 1], got 1.5"),
    "first element": (lambda: F.dropout(z(3), training=False, first=-1), ValueError,
                      "dropout: first must be at least 0, got -1"),
    "beyond a draw": (lambda: F.reparameterize(z(2, 3), z(2, 3), z(2, 3), first=2**63 - 5),
                      ValueError, "reparameterize: first must be at most 9223372036854775802, for "
                      "a draw has 2**63 elements, got 9223372036854775803"),
    "penalty's first": (lambda: F.gradient_penalty(lambda x: x, z(2, 3), z(2, 3), first=-4),
                        ValueError, "gradient_penalty: first must be at least 0, got -4"),
    "heads": (lambda: F.multi_head_attention(*[z(1, 2, 6)] * 3, *[z(6, 6)] * 4, 4), ValueError,
              "multi_head_attention: 6 features do not divide into 4 heads"),
    "queries and keys": (lambda: F.scaled_dot_product_attention(z(2, 3), z(2, 4), z(2, 3)),
                         ValueError, "scaled_dot_product_attention: query (2, 3), key (2, 4)"),
    "two masks": (lambda: F.scaled_dot_product_attention(*[z(2, 3)] * 3, z(2, 2), is_causal=True),
                  ValueError, "give attn_mask or is_causal, not both"),
    "penalty": (lambda: F.gradient_penalty(lambda x: x, z(2, 3), z(3, 3)), ValueError,
                "gradient_penalty: real (2, 3) and fake (3, 3) differ"),
    # shapes and axes
    "broadcasting": (lambda: z(2, 3) + z(4), ValueError,
                     "add: shapes (2, 3) and (4,) do not broadcast"),
    "product": (lambda: z(2, 3) @ z(4, 2), ValueError,
                "matmul: inner lengths differ: (2, 3) @ (4, 2)"),
    "batches of products": (lambda: z(2, 2, 3) @ z(4, 3, 2), ValueError,
                            "matmul: shapes (2, 2, 3) and (4, 3, 2) do not broadcast"),
    "reshape": (lambda: z(2, 3).reshape(4, 2), ValueError,
                "reshape: shape (4, 2) does not fit 6 elements of a tensor of shape (2, 3)"),
    "axis": (lambda: z(2, 3).sum(2), ValueError,
             "sum: dim 2 is not an axis of a tensor with 2 axes"),
    "axis of softmax": (lambda: F.softmax(z(2, 3), 2), ValueError,
                        "softmax: dim 2 is not an axis of a tensor with 2 axes"),
    "an axis twice": (lambda: z(2, 3).mean((0, -2)), ValueError, "dim (0, -2) names an axis twice"),
    "permutation": (lambda: z(2, 3).permute(0, 0), ValueError,
                    "permute: (0, 0) is not a permutation of 2 axes"),
    "expansion": (lambda: z(2, 3).expand(2, 4), ValueError,
                  "expand: shape (2, 3) cannot be expanded to (2, 4)"),
    "cat": (lambda: minidl.cat([z(2, 3), z(2, 4)]), ValueError,
            "cat: shapes (2, 3) and (2, 4) differ outside dim 0"),
    "cat of one": (lambda: minidl.cat(z(2, 3)), TypeError,
                   "cat: tensors must be a list of tensors, got tensor of shape"),
    "cat of none": (lambda: minidl.cat([]), ValueError, "cat: needs at least one tensor"),
    "split": (lambda: z(5).split([2, 2]), ValueError, "split: lengths [2, 2] do not add up to 5"),
    "split by nothing": (lambda: z(5).split(0), ValueError, "split_size must be at least 1, got 0"),
    "mode of padding": (lambda: F.pad(z(2), (1, 1), "reflect"), ValueError,
                        'pad: only mode "constant" is offered, got \'reflect\''),
    "cutting too much": (lambda: F.pad(z(2), (-3, 0)), ValueError, "pad: (-3, 0) cuts more than"),
    "maximum of nothing": (lambda: z(2, 0).max(1), ValueError,
                           "max: the tensor of shape (2, 0) has no elements"),
    "index": (lambda: z(3)[3], IndexError, "index 3 is out of bounds"),
    "index by floats": (lambda: z(3)[z(2)], IndexError, "the tensor has shape (3,)"),
    # numbers and dtypes
    "mean of integers": (lambda: T([1, 2]).mean(), TypeError,
                         "mean: input must be floats, got int64"),
    "gradients of integers": (lambda: T([1, 2], requires_grad=True), TypeError,
                              "requires_grad: only float tensors have gradients, this one is "
                              "int64; use .float() first"),
    "gradients of integers, later": (lambda: T([1, 2]).requires_grad_(), TypeError, "this one is"),
    "a word": (lambda: T("abc"), TypeError, "Tensor: expected numbers, got str"),
    "adding a word": (lambda: z(2) + "a", TypeError,
                      "add: other must be a tensor or numbers, got 'a'"),
    "power of None": (lambda: z(2)**None, TypeError,
                      "pow: other must be a tensor or numbers, got None"),
    "a factor that is no number": (lambda: z(2).add(1, alpha="a"), TypeError,
                                   "add: alpha must be a number, got 'a'"),
    "a factor True": (lambda: z(2).sub(1, alpha=True), TypeError, "sub: alpha must be a number"),
    "a factor, in place": (lambda: z(2).add_(1, alpha=None), TypeError, "add_: alpha must be"),
    "a factor True, in place": (lambda: z(2).sub_(1, alpha=True), TypeError, "sub_: alpha must be"),
    "limits that do not broadcast": (lambda: minidl.clamp(z(2, 3), z(4)), ValueError,
                                     "clamp: min of shape (4,) does not broadcast"),
    "limits in place": (lambda: z(2, 3).clamp_(max=z(4)), ValueError, "clamp: max of shape (4,)"),
    "batchmean of a number": (lambda: F.kl_div(T(1.0), T(1.0), "batchmean"), ValueError,
                              'kl_div: reduction "batchmean" needs a batch'),
    "a table without axes": (lambda: F.embedding(T([0]), T(1.0)), ValueError,
                             "embedding: weight must be (V, D), got ()"),
    "a table of numbers": (lambda: F.embedding(T([0]), T([1.0])), ValueError,
                           "embedding: weight must be (V, D), got (1,)"),
    "two negative lengths": (lambda: z(2, 3).reshape(-2, -3), ValueError,
                             "reshape: shape (-2, -3) does not fit 6 elements"),
    "expanded to a negative length": (lambda: z(1, 3).expand(-2, 3), ValueError,
                                      "expand: shape (1, 3) cannot be expanded to (-2, 3)"),
    "a range beyond int64": (lambda: minidl.arange(2**63), ValueError,
                             "arange: a limit: 9223372036854775808 does not fit int64"),
    "a range that stands still": (lambda: minidl.arange(0, 3, 0), ValueError,
                                  "arange: step must not be 0"),
    "a range without end": (lambda: minidl.arange(np.inf), ValueError,
                            "arange: a limit must be finite, got inf"),
    "a range of another dtype": (lambda: minidl.arange(300, dtype="uint8"), ValueError,
                                 "arange: 299 does not fit uint8"),
    "linspace without end": (lambda: minidl.linspace(0, np.inf, 3), ValueError,
                             "linspace: end must be finite, got inf"),
    "linspace of another dtype": (lambda: minidl.linspace(0, 300, 3, dtype="uint8"), ValueError,
                                  "linspace: end: 300 does not fit uint8"),
    "random integers beyond int64": (lambda: minidl.randint(0, 2**64, (2,)), ValueError,
                                     "randint: high - 1: 18446744073709551615 does not fit int64"),
    **{f"no dtype, {name}": (make, TypeError, f"{name}: 'banana' is no dtype") for name, make in {
        name: lambda f=f, args=args: f(*args, dtype="banana") for name, f, args in (
            (f.__name__, f, args) for f, args in (
                (minidl.zeros, (2,)), (minidl.ones, (2,)), (minidl.full, ((2,), 1)),
                (minidl.eye, (2,)), (minidl.arange, (2,)), (minidl.linspace, (0, 1, 2)),
                (minidl.rand, (2,)), (minidl.randn, (2,)), (minidl.tensor, (2,)),
                (minidl.zeros_like, (z(2),)), (minidl.ones_like, (z(2),))))}.items()},
    "random integers by a dtype": (lambda: minidl.rand(2, dtype="int64"), TypeError,
                                   "rand: dtype must be float32 or float64, got int64"),
    "training that is no flag": (lambda: minidl.nn.ReLU().train("no"), TypeError,
                                 "train: mode must be True or False, got 'no'"),
    "training None": (lambda: minidl.nn.ReLU().train(None), TypeError, "train: mode must be"),
    "ragged": (lambda: T([[1, 2], [3]]), ValueError, "Tensor: "),
    "complex": (lambda: T(1j), TypeError, "got complex of dtype complex128"),
    "a condition of floats": (lambda: minidl.where(z(2), z(2), z(2)), TypeError,
                              "where: condition must be boolean, got float32"),
    "unknown device": (lambda: z(2).to("gpu"), TypeError,
                       "to: 'gpu' is neither a dtype nor a device"),
    "unknown argument": (lambda: F.relu(z(2), inplace=True), TypeError, "relu: got an unexpected"),
    "kernels": (lambda: minidl.use_kernels("turbo"), ValueError,
                "use_kernels: expected one of fast, reference; got 'turbo'"),
    "from_numpy": (lambda: minidl.from_numpy([1.0]), TypeError,
                   "from_numpy: expected a NumPy array, got list"),
    # backward
    "non-scalar": (lambda: (leaf(3) * 2).backward(), RuntimeError,
                   "backward: gradient can be left out only for a scalar; output has shape (3,)"),
    "shape of a gradient": (lambda: (leaf(3) * 2).backward(z(2)), ValueError,
                            "backward: gradient has shape (2,), output (3,)"),
    "no graph": (lambda: z(3).sum().backward(), RuntimeError,
                 "does not require grad: nothing it was computed from was created with "
                 "requires_grad=True"),
    "backward twice": (twice, RuntimeError, "was freed by an earlier backward() (at sum); give "
                       "that first call retain_graph=True"),
    "changed in place": (stale, RuntimeError, "mul: a tensor of shape (3,) that its backward pass "
                         "needs was changed in place after the forward pass"),
    "grad of another shape": (lambda: setattr(z(3), "grad", z(2)), ValueError, "grad: tensor of"),
    "grad of an array": (lambda: setattr(z(3), "grad", np.zeros(3)), TypeError,
                         "grad: must be a Tensor or None, got ndarray"),
    "hook without gradient": (lambda: z(3).register_hook(print), RuntimeError, "register_hook: "),
    "inner requires_grad": (lambda: (leaf(3) * 2).requires_grad_(False), RuntimeError,
                            "use x.detach()"),
    # to Python
    "item": (lambda: z(3).item(), ValueError, "item: needs one element, the tensor has shape (3,)"),
    "truth": (lambda: bool(z(3)), ValueError, "use .any() or .all()"),
    "length": (lambda: len(T(1.0)), TypeError, "len() of a 0-d tensor"),
    "a float as index": (lambda: [1, 2][T(1.0)], TypeError, "only an integer tensor can be an"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_named(name):
    do, error, words = WRONG[name]
    with pytest.raises(error, match=re.escape(words)) as failure:
        do()
    assert type(failure.value) is error
    assert len(str(failure.value)) < 300                      # to be read on one screen


CHANGES = {
    "copy_": (lambda x: x.copy_(z(2)), ValueError, "copy_: value of shape (2,) does not fit"),
    "add_": (lambda x: x.add_(z(2)), ValueError, "add_: value of shape (2,) does not fit a tensor"),
    "add_, larger": (lambda x: x.add_(z(2, 3)), ValueError, "add_: value of shape (2, 3)"),
    "x[i] = v": (lambda x: x.__setitem__(slice(0, 2), z(3)), ValueError,
                 "x[i] = v: could not broadcast input array from shape (3,) into shape (2,); "
                 "x has shape (3,)"),
    "x[5] = v": (lambda x: x.__setitem__(5, 1.0), IndexError, "x[i] = v: index 5 is out of bounds"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refused_changes_change_nothing(name):
    do, error, words = CHANGES[name]
    x = minidl.ones(3)
    with pytest.raises(error, match=re.escape(words)):
        do(x)
    assert x.tolist() == [1, 1, 1]


def test_integers_do_not_swallow_fractions():
    n = T([1, 2])
    for name, value, kind in (("add_", 0.5, "float32"), ("mul_", 1.5, "float32"),
                              ("div_", 2, "float64")):
        with pytest.raises(TypeError, match=f"{name}: the result is {kind} and does not fit a "
                                            "tensor of int64"):
            getattr(n, name)(value)
    assert n.tolist() == [1, 2] and n.add_(3).tolist() == [4, 5]


def test_a_failed_batch_norm_moved_no_statistics():
    mean, var = z(3), minidl.ones(3)
    with pytest.raises(ValueError, match="training needs more than one value"):
        F.batch_norm(z(1, 3), mean, var, training=True)
    with pytest.raises(ValueError, match="weight must have shape"):
        F.batch_norm(minidl.ones(4, 3), mean, var, z(2), training=True)
    assert mean.tolist() == [0, 0, 0] and var.tolist() == [1, 1, 1]


def test_a_failed_backward_leaves_no_gradient():
    """The stale value is found before any leaf has received its share."""
    x, w = leaf(3), minidl.ones(3)
    y = (x * w).sum() + (x * 2).sum()
    w.zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    assert x.grad is None


@pytest.mark.parametrize("call, error, message", [
    (lambda: minidl.stack([]), ValueError, "^stack: needs at least one"),
    (lambda: minidl.stack([z(1), z(2)]), ValueError, r"^stack: shapes \(1,\) and \(2,\) differ"),
    (lambda: minidl.nn.BatchNorm2d(3)(z(2, 4, 5, 5)), ValueError, "but num_features is 3"),
    (lambda: minidl.grad([1], [2]), TypeError, "^grad: outputs and inputs must be tensors"),
    (lambda: minidl.optim.clip_grad_norm_(minidl.nn.Linear(1, 1), 1), TypeError, "is a module"),
    (lambda: minidl.optim.SGD([z(1)]).step(3), TypeError, "^SGD.step: closure must be a function"),
    (lambda: minidl.save({"a": z(1), "b": {}}, "x"), TypeError, "a dict under 'b'"),
    (lambda: minidl.data.DataLoader([(z(2), 0), (z(2), 1)]), TypeError, "a list of examples"),
    (lambda: minidl.data.DataLoader((z(2),), num_workers=2), TypeError, "num_workers is not offer"),
    (lambda: z(2, 2).sum(0, 1), TypeError, "^sum: keepdim must be True or False, got 1"),
])
def test_what_people_try_first_is_answered(call, error, message):
    with pytest.raises(error, match=message):
        call()
