"""The dtype rules of docs/numbers.md, for every op; and the one gate for users' arrays.

What is expected stands here as tables, which were held to PyTorch (torch.result_type among them).
"""

from __future__ import annotations

import contextlib
import itertools
import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
import minidl.functional as F
from minidl import dtypes, nn, optim

T = minidl.tensor
DTYPES = "bool uint8 int8 int16 int32 int64 float32 float64".split()
INTEGERS = DTYPES[1:6]

# Of two arrays with axes, row and column in the order of DTYPES.
PROMOTED = """
bool    uint8   int8    int16   int32   int64   float32 float64
uint8   uint8   int16   int16   int32   int64   float32 float64
int8    int16   int8    int16   int32   int64   float32 float64
int16   int16   int16   int16   int32   int64   float32 float64
int32   int32   int32   int32   int32   int64   float32 float64
int64   int64   int64   int64   int64   int64   float32 float64
float32 float32 float32 float32 float32 float32 float32 float64
float64 float64 float64 float64 float64 float64 float64 float64
"""
_table = [line.split() for line in PROMOTED.split("\n") if line]
TOGETHER = {(a, b): _table[i][j] for (i, a), (j, b) in itertools.product(
    enumerate(DTYPES), repeat=2)}
RANK = {name: 0 if name == "bool" else 1 if name in INTEGERS else 2 for name in DTYPES}


def expected(a: str, b: str, a_has_axes: bool, b_has_axes: bool) -> str:
    """Arrays with axes outvote numbers of the same category, or a lower one."""
    if a_has_axes == b_has_axes:
        return TOGETHER[a, b]
    array, number = (a, b) if a_has_axes else (b, a)
    return array if RANK[array] >= RANK[number] else number


def ones(dtype: str, axes: bool = True) -> minidl.Tensor:
    return T(np.ones(2, dtype) if axes else np.array(1, dtype))


SAME = {"add": operator.add, "mul": operator.mul, "maximum": minidl.maximum,
        "minimum": minidl.minimum, "where": lambda x, y: minidl.where(T([True, False]), x, y)}


@pytest.mark.parametrize("a, b", list(TOGETHER))
def test_two_operands(a, b):
    for left, right in itertools.product((True, False), repeat=2):
        x, y, kind = ones(a, left), ones(b, right), expected(a, b, left, right)
        for name, f in SAME.items():
            assert f(x, y).dtype == kind, (name, left, right)
        assert (x / y).dtype == (kind if RANK[kind] == 2 else "float32")
        for f in (operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge):
            assert f(x, y).dtype == bool
        if (a, b) != ("bool", "bool"):
            assert (x - y).dtype == (x ** y).dtype == kind
        if left == right:
            assert minidl.stack([x, y]).dtype == kind
    x, y = ones(a), ones(b)
    assert minidl.cat([x, y]).dtype == (x.reshape(1, 2) @ y.reshape(2, 1)).dtype == TOGETHER[a, b]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", (True, False))
def test_pythons_numbers(dtype, axes):
    """They never make a tensor wider, only change its category."""
    x = ones(dtype, axes)
    for number, least in ((True, "bool"), (2, "int64"), (2.5, "float32")):
        kind = dtype if RANK[dtype] >= RANK[least] else least
        assert (x + number).dtype == (number * x).dtype == kind
        assert minidl.where(T(True), x, number).dtype == kind
        assert (x / number).dtype == (kind if RANK[kind] == 2 else "float32")
        for scalar in (np.float64(2.5), np.float32(2.5)) if least == "float32" else ():
            assert (x + scalar).dtype == (scalar + x).dtype == kind      # NumPy's numbers too
    for low, kind in ((0, "int64"), (0.5, "float32")):
        assert x.clamp(low, 3).dtype == (dtype if RANK[dtype] >= RANK[kind] else kind)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_operand(dtype):
    x, is_float = ones(dtype), RANK[dtype] == 2
    for f in (minidl.exp, minidl.log, minidl.sqrt, minidl.sin, minidl.cos, minidl.sigmoid,
              minidl.tanh, F.leaky_relu, F.elu, F.gelu, F.softplus, minidl.norm,
              lambda x: minidl.softmax(x, 0), lambda x: minidl.log_softmax(x, 0),
              lambda x: minidl.logsumexp(x, 0), lambda x: F.normalize(x, 0)):
        assert f(x).dtype == (dtype if is_float else "float32")
    assert x.sum().dtype == x.sum(0, keepdim=True).dtype == (dtype if is_float else "int64")
    for f in (minidl.abs, minidl.amax, minidl.amin, minidl.max, minidl.min, minidl.Tensor.clone):
        assert f(x).dtype == dtype
    assert x.max(0).values.dtype == x.min(0).values.dtype == dtype
    assert {y.dtype.name for y in (x.argmax(), x.argmin(), x.max(0).indices, x.min(0).indices)
            } == {"int64"}
    for f in (minidl.neg, minidl.relu):
        if dtype == "bool":
            with pytest.raises(TypeError, match="booleans have no sign"):
                f(x)
        else:
            assert f(x).dtype == dtype


IMAGE = (1, 2, 4, 4)
FLOATS_ONLY = {
    "mean": lambda x: x.mean(), "var": lambda x: x.var(), "std": lambda x: x.std(),
    "dropout": lambda x: F.dropout(x), "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "batch_norm": lambda x: F.batch_norm(x, None, None, training=True),
    "avg_pool2d": lambda x: F.avg_pool2d(x, 2), "max_pool2d": lambda x: F.max_pool2d(x, 3, 1, 1),
    "conv2d": lambda x: F.conv2d(x, T(np.ones((3, 2, 1, 1), x.dtype)), T(np.ones(3, x.dtype))),
    "linear": lambda x: F.linear(x, T(np.ones((3, 4), x.dtype)), T(np.ones(3, x.dtype))),
    "mse_loss": lambda x: F.mse_loss(x, x), "l1_loss": lambda x: F.l1_loss(x, x),
    "smooth_l1_loss": lambda x: F.smooth_l1_loss(x, x), "kl_div": lambda x: F.kl_div(x, x),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy(x, x),
    "binary_cross_entropy_with_logits": lambda x: F.binary_cross_entropy_with_logits(x, x),
    "cross_entropy": lambda x: F.cross_entropy(x[0], minidl.zeros(2, 4, dtype=minidl.int64)),
    "nll_loss": lambda x: F.nll_loss(x[0], minidl.zeros(2, 4, dtype=minidl.int64)),
}


@pytest.mark.parametrize("name", FLOATS_ONLY)
def test_what_needs_floats_says_so(name):
    for dtype in DTYPES:
        x = T(np.ones(IMAGE, dtype))
        if RANK[dtype] == 2:
            assert FLOATS_ONLY[name](x).dtype == dtype
        else:
            with pytest.raises(TypeError, match=f"must be floats, got {dtype}; use .float"):
                FLOATS_ONLY[name](x)


@pytest.mark.parametrize("a, b", list(TOGETHER))
def test_in_place(a, b):
    """The tensor's dtype stays; a result of a higher category is refused."""
    for name in ("add_", "mul_"):
        x = ones(a)
        if RANK[b] > RANK[a]:
            with pytest.raises(TypeError, match=f"{name}: the result is .* and does not fit"):
                getattr(x, name)(ones(b))
        else:
            assert getattr(x, name)(ones(b)).dtype == a
    with pytest.raises(TypeError, match="div_") if RANK[a] < 2 else contextlib.nullcontext():
        ones(a).div_(ones(b))


def test_the_numbers_themselves():
    """Examples that came out wrong once, and their like."""
    byte = T(np.uint8([5]))
    assert (byte.sum() - 10).item() == -5 and T(np.uint8([200, 100])).sum().item() == 300
    assert (byte + 255).item() == 4 and (byte + 300).item() == 49                 # modulo 256
    assert (byte / 300).item() == pytest.approx(5 / 300) and (10 / byte).item() == 2
    assert (byte > -1).all() and not (byte == 261).any()                         # exact
    assert T(np.uint8([1, 5])).clamp(-1, 300).tolist() == [1, 5]
    assert T([1, 5]).clamp(0.5, 2.5).tolist() == [1, 2.5]
    assert (T([1.5, 2.5]) + T(np.float64(0.25))).dtype == "float32"
    assert (T([True, False]) + T([True, True])).tolist() == [True, True]
    assert T(np.int8([-128])).min().item() == -128 and T(np.int64([-2**63])).min() == -2**63
    with pytest.raises(TypeError, match="sub: booleans are not subtracted"):
        T([True]) - T([True])
    with pytest.raises(TypeError, match="sub_: "):
        T([True]).sub_(T([True]))
    with pytest.raises(ValueError, match="pow: integers have no negative powers"):
        T([2]) ** -1
    with pytest.raises(TypeError, match="does not fit int64; use float"):
        T([2]) + 2**70


def test_gradients_come_in_their_tensors_dtype():
    x, y = minidl.ones(3, requires_grad=True), T(np.float64(2), requires_grad=True)
    (x * y + x / y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == ("float32", "float64")


# --------------------------------------------------------------------------- the gate
def _memmap(path, numbers):
    mapped = np.memmap(path / "numbers", dtype=numbers.dtype, mode="w+", shape=numbers.shape)
    mapped[:] = numbers
    return mapped


LINEAR = {"weight": None, "bias": np.zeros(2, np.float32)}


def _loaded(v):
    layer = nn.Linear(2, 2)
    layer.load_state_dict({**LINEAR, "weight": v})
    return layer.weight


def _assigned(v):
    x = minidl.zeros(2, 2)
    x[:] = v
    return x


def _gradient(v):
    x = minidl.ones(2, 2, requires_grad=True)
    (x * 1).backward(v)
    return x.grad


# Every way an array comes in: (what makes a tensor of its numbers from it).
WAYS = {
    "tensor": T, "as_tensor": minidl.as_tensor, "Parameter": lambda v: nn.Parameter(v, False),
    "add": lambda v: minidl.zeros(2, 2) + v, "radd": lambda v: v + minidl.zeros(2, 2),
    "mul": lambda v: minidl.ones(2, 2) * v, "rmul": lambda v: v * minidl.ones(2, 2),
    "rsub": lambda v: v - minidl.zeros(2, 2), "matmul": lambda v: minidl.eye(2) @ v,
    "rmatmul": lambda v: v @ minidl.eye(2),
    "maximum": lambda v: minidl.full((2, 2), -9.0).maximum(v),
    "where": lambda v: minidl.where(T([[True] * 2] * 2), v, 0.0), "cat": lambda v: minidl.cat([v]),
    "clamp": lambda v: minidl.full((2, 2), 9.0).clamp(max=v), "x[:] = v": _assigned,
    "copy_": lambda v: minidl.zeros(2, 2).copy_(v), "add_": lambda v: minidl.zeros(2, 2).add_(v),
    "backward": _gradient, "load_state_dict": _loaded,
    "linear": lambda v: F.linear(minidl.as_tensor(v).float(), minidl.eye(2)),
    "square": lambda v: T(v) * T(v) / T(v),          # of a matrix this would be its product
    "equal": lambda v: minidl.where(T(v) == v, T(v), np.nan),
}
NUMBERS = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_every_array_becomes_a_plain_one(way, tmp_path):
    read_only = NUMBERS.copy()
    read_only.flags.writeable = False
    for array in (NUMBERS, np.matrix(NUMBERS), _memmap(tmp_path, NUMBERS), read_only,
                  NUMBERS.astype(">f4"), NUMBERS.astype(">f8"), NUMBERS.astype(">i2"),
                  NUMBERS.astype(np.uint8), NUMBERS[::-1][::-1], NUMBERS.T.copy().T,
                  NUMBERS.view(np.recarray), np.broadcast_to(NUMBERS, (2, 2))):
        y = WAYS[way](array)
        assert type(y.data) is np.ndarray and y.dtype.isnative
        np.testing.assert_array_equal(y.numpy(), NUMBERS)


REFUSED = {
    "masked": (np.ma.array(NUMBERS, mask=[[True, False], [False, False]]), "a masked array has"),
    "masked, no mask": (np.ma.array(NUMBERS), "a masked array has"),
    "float16": (NUMBERS.astype(np.float16), r"float16; convert .*\.astype\(np\.float32\)"),
    "longdouble": (NUMBERS.astype(np.longdouble), "expected numbers|nothing here computes"),
    "complex": (NUMBERS.astype(complex), "expected numbers, got ndarray of dtype complex128"),
    "uint16": (NUMBERS.astype(np.uint16), r"uint16; convert .*\.astype\(np\.int64\)"),
    "uint64": (NUMBERS.astype(np.uint64), r"uint64; convert .*\.astype\(np\.int64\)"),
    "object": (np.array([[1, None], [2, 3]], object), "expected numbers, got ndarray of dtype obj"),
    "date": (np.zeros((2, 2), "M8[D]"), "expected numbers, got ndarray of dtype datetime64"),
    "text": (np.array([["a", "b"], ["c", "d"]]), "expected numbers, got ndarray of dtype <U1"),
    "fields": (np.zeros((2, 2), [("a", "f4")]), "expected numbers, got ndarray of dtype "),
}
CONVERT = {"load_state_dict"}            # what gives a dtype takes what can be converted to it


@pytest.mark.skipif(np.longdouble == np.float64, reason="longdouble is float64 on this machine")
@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_array_of_numbers_is_refused_by_name(way, kind):
    array, message = REFUSED[kind]
    if way in CONVERT and array.dtype.kind in "fu" and "masked" not in kind:
        np.testing.assert_array_equal(WAYS[way](array).numpy(), NUMBERS)
        return
    with pytest.raises((TypeError, ValueError), match=message):
        WAYS[way](array)


def test_a_mask_is_lost_nowhere():
    masked = np.ma.array(np.ones((2, 1, 2, 2)), mask=True)
    labels, hidden = np.zeros(2, int), np.ma.array([0, 1], mask=[True, False])
    for call in (lambda: minidl.data.TensorDataset(masked), lambda: minidl.data.ArrayDataset(
            masked, labels), lambda: minidl.data.ArrayDataset(np.ones((2, 1, 2, 2)), hidden),
                 lambda: minidl.metrics.accuracy(hidden, labels),
                 lambda: minidl.allclose(hidden, labels)):
        with pytest.raises(TypeError, match="a masked array has no numbers where it is masked"):
            call()


def test_indices_pass_the_gate():
    x = minidl.arange(6).reshape(3, 2)
    assert x[np.array([2, 0], ">i8")].tolist() == [[4, 5], [0, 1]]
    assert x[np.array([0, 1], np.uint8)].tolist() == [[0, 1], [2, 3]]
    for index in (np.ma.array([0, 1]), [np.ma.masked, 1], np.array([0, 1], np.uint32)):
        with pytest.raises(TypeError, match="masked array|uint32"):
            x[index]


@pytest.mark.parametrize("make", [
    lambda d: minidl.zeros(2, dtype=d), lambda d: minidl.ones(2, dtype=d), lambda d: T([1.0], d),
    lambda d: minidl.full((2,), 1.0, dtype=d), lambda d: minidl.eye(2, dtype=d),
    lambda d: minidl.arange(3, dtype=d), lambda d: minidl.linspace(0, 1, 3, dtype=d),
    lambda d: minidl.ones(2).to(d), lambda d: nn.Linear(2, 2).to(d),
    lambda d: minidl.rand(2, dtype=d),
    lambda d: minidl.zeros_like(minidl.ones(2), dtype=d), lambda d: minidl.Tensor([1], dtype=d)])
@pytest.mark.parametrize("dtype", ["float16", "complex64", "uint16", ">f2", "M8[D]"])
def test_a_dtype_that_nothing_computes_with_is_refused(make, dtype):
    name = np.dtype(dtype).newbyteorder("=").name.split("[")[0]
    with pytest.raises(TypeError, match=f"{name}|{dtype}"):
        make(np.dtype(dtype))


def test_what_to_do_works():
    half = np.ones(100000, np.float16)
    assert T(half, dtype=minidl.float32).mean().item() == T(half.astype(np.float32)).mean() == 1
    assert T([1, 2], dtype=">f4").dtype == minidl.float32
    swapped = np.ones(2, ">f4")
    with pytest.raises(TypeError, match="cannot be shared"):
        minidl.from_numpy(swapped)
    shared = np.ones(2, np.float32).view(np.recarray)
    minidl.from_numpy(shared)[0] = 7
    assert shared[0] == 7


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_a_subclass_put_into_data_is_found():
    x = minidl.ones(2, 2)
    x.data = np.matrix(NUMBERS)
    with pytest.raises(TypeError, match="mul: computed with a matrix, not a plain array"):
        x * x


def test_half_of_a_file_becomes_float32(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    numpy_files.save_file({"w": NUMBERS.astype(np.float16)}, tmp_path / "half.safetensors")
    w = minidl.load(tmp_path / "half.safetensors")["w"]
    assert w.dtype == minidl.float32
    np.testing.assert_array_equal(w.numpy(), NUMBERS)


def test_an_optimisers_state_passes_the_gate():
    p = nn.Parameter(np.ones(2, np.float32))
    p.grad = minidl.ones(2)
    opt = optim.Adam([p])
    opt.step()
    state = opt.state_dict()
    state["state"][0]["exp_avg"] = np.ma.array([1.0, 2.0])
    with pytest.raises(TypeError, match="exp_avg of parameter 0: a masked array"):
        opt.load_state_dict(state)


@given(st.sampled_from(DTYPES), st.sampled_from(DTYPES), st.booleans(), st.booleans())
def test_result_type_is_what_the_ops_give(a, b, left, right):
    x, y = ones(a, left), ones(b, right)
    assert dtypes.result_type(x.data, y.data) == (x + y).dtype == expected(a, b, left, right)


@pytest.mark.parametrize("write", [
    lambda x, v: x.__setitem__(0, v), lambda x, v: x.fill_(v), lambda x, v: x.copy_(v),
    lambda x, v: minidl.full((2,), v, dtype=x.dtype),
    lambda x, v: minidl.tensor([v], dtype=x.dtype),
    lambda x, v: x.__setitem__([0], [v]), lambda x, v: x.__setitem__(slice(None), (1, v)),
    lambda x, v: x.copy_([v]), lambda x, v: F.pad(x, (1, 1), value=float(v))])
@pytest.mark.parametrize("dtype, value", [
    ("uint8", 300), ("uint8", -1), ("int8", 128), ("int64", float("nan")), ("int32", float("inf")),
    ("int64", 1e300), ("int16", np.float32(1e9))])
def test_a_number_that_an_integer_tensor_cannot_hold_is_refused(write, dtype, value):
    with pytest.raises((ValueError, TypeError), match="does not fit"):
        write(minidl.ones(2, dtype=dtype), value)


def test_a_factor_of_a_list_is_no_repetition():
    for add in (minidl.add, lambda x, y, alpha: x.add(y, alpha=alpha),
                lambda x, y, alpha: x.clone().add_(y, alpha=alpha)):
        assert add(minidl.zeros(2), [1.0, 2.0], alpha=2).tolist() == [2, 4]
        assert add(minidl.zeros(2), np.array([1.0, 2.0]), alpha=0.5).tolist() == [0.5, 1]


def test_comparisons_take_the_dtype_of_arithmetic():
    x = minidl.tensor([0.1])
    for tenth in (0.1, np.float64(0.1), np.float32(0.1), minidl.tensor(np.float64(0.1)), x):
        assert (x == tenth).all() and not (x != tenth).any() and (x <= tenth).all()
    assert not (x == np.array([0.1])).any()                # a vector of float64 stays float64
    assert (minidl.tensor([2**62 + 1]) != 2**62).all() and (minidl.tensor([2**24 + 1]) == 2.0**24
                                                            ).dtype == bool


def test_a_masked_array_deep_in_lists_is_found():
    with pytest.raises(TypeError, match="masked"):
        minidl.tensor([[[np.ma.masked_array([1, 2], [True, False])]]])


MIXED = {
    "linear: input is float32 and bias float64": lambda x, w: F.linear(x, x, w[:2]),
    "conv2d: input is float32 and bias float64": lambda x, w: F.conv2d(
        x.reshape(1, 1, 2, 3), x.reshape(2, 1, 1, 3), w[:2]),
    "conv_transpose2d: input is float32 and bias float64": lambda x, w: F.conv_transpose2d(
        x.reshape(1, 1, 2, 3), x.reshape(1, 2, 1, 3), w[:2]),
    "cross_entropy: input is float32 and weight float64": lambda x, w: F.cross_entropy(
        x, [0, 2], w),
    "nll_loss: input is float32 and weight float64": lambda x, w: F.nll_loss(x, [0, 2], w),
    "layer_norm: input is float32 and weight float64": lambda x, w: F.layer_norm(x, 3, w),
    "group_norm: input is float32 and bias float64": lambda x, w: F.group_norm(x, 1, None, w),
    "batch_norm: input is float32 and running_mean float64": lambda x, w: F.batch_norm(
        x, T(w), T(w)),
    "batch_norm: input is float32 and weight float64": lambda x, w: F.batch_norm(
        x, None, None, w, w, True),
    "scaled_dot_product_attention: input is float32 and value float64": lambda x, w: (
        F.scaled_dot_product_attention(x, x, T(np.ones((2, 3))))),
    "scaled_dot_product_attention: input is float32 and attn_mask float64": lambda x, w: (
        F.scaled_dot_product_attention(x, x, x, np.zeros((2, 2)))),
}


@pytest.mark.parametrize("message", MIXED)
def test_a_float64_beside_a_float32_network_is_refused(message):
    with pytest.raises(TypeError, match=message):
        MIXED[message](T(np.float32([[1, 2, 3], [4, 5, 7]])), np.ones(3))


def test_lists_of_floats_take_the_dtype_of_the_tensor_beside_them():
    x = T(np.ones(2))
    for y in (x * [0.1, 0.2], [0.1, 0.2] * x, minidl.where(x > 0, [0.1, 0.2], x),
              x.clamp(max=[0.1, 0.2]), minidl.stack([x, [0.1, 0.2]])[1],
              F.linear(x, [[0.1, 0.0], [0.0, 0.2]])):
        assert y.dtype == "float64" and y.tolist() == [0.1, 0.2]


def test_a_list_is_written_as_it_is():
    x = minidl.zeros(2, dtype="float64")
    assert x.copy_([0.1, 0.2]).tolist() == [0.1, 0.2]
    x[:] = [0.3, 4]
    assert x.tolist() == [0.3, 4]


@pytest.mark.parametrize("use", [
    lambda x, v: x.fill_(v), lambda x, v: x.__setitem__(0, v), lambda x, v: x.clamp(0, v),
    lambda x, v: x == v, lambda x, v: x < v, lambda x, v: T(v), lambda x, v: minidl.full((2,), v)])
def test_an_integer_beyond_all_floats_is_refused_by_name(use):
    for huge in (10**400, -10**5000):
        with pytest.raises(ValueError, match=r"^\S.*: an integer of \d+ bits does not fit float"):
            use(T([5.0]), huge)
    assert (T([5]) < 10**400).all() and not (T([5]) == 10**400).any()      # integers: exactly


def test_bits_of_integers_wrap_around():
    x = T(np.uint8([5]))
    for y, want in ((x & -1, 5), (x & 300, 4), (x | -1, 255), (x ^ 300, 41), (x & T(300), 4),
                    (x & np.int64(-1), 5)):
        assert y.tolist() == [want] and y.dtype == "uint8"
    assert (x & [300]).dtype == "int64" and (x & [300]).tolist() == [4]
    assert (T(np.uint8(5)) & 3).dtype == "uint8" and (T([True]) & False).dtype == "bool"


@pytest.mark.parametrize("name, use", [
    ("and_", lambda x: x & 1.5), ("or_", lambda x: x | x), ("xor", lambda x: T([1]) ^ None),
    ("and_", lambda x: T([1]) & 2**64), ("invert", lambda x: ~x), ("lt", lambda x: x < "a"),
    ("ge", lambda x: x >= None)])
def test_what_cannot_be_compared_or_has_no_bits_is_refused_by_name(name, use):
    with pytest.raises(TypeError, match=f"^{name}: "):
        use(T([1.0]))


def test_another_librarys_array_is_compared_as_numbers():
    class Theirs:
        __array_priority__ = 1000
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0])
        def __eq__(self, other):
            return "theirs"
    same = T([1.0, 3.0]) == Theirs()
    assert type(same) is minidl.Tensor and same.tolist() == [True, False] and same.dtype == bool


@pytest.mark.parametrize("kind", ["int64", "int16", "float64"])
def test_alpha_multiplies_in_the_dtype_of_the_result(kind):
    small = np.int8([100]) if "int" in kind else np.float32([0.1])
    alpha = -3 if "int" in kind else 0.1
    want = np.array([7], kind) + small.astype(kind) * np.array(alpha, kind)
    for y in (T(np.array([7], kind)).add(T(small), alpha=alpha),
              T(np.array([7], kind)).sub(T(small), alpha=-alpha),
              T(np.array([7], kind)).add_(T(small), alpha=alpha),
              minidl.add(T(np.array([7], kind)), T(small), alpha=alpha)):
        assert y.numpy().tolist() == want.tolist() and y.dtype == kind
