"""minidl.from_torch: random networks have PyTorch's numbers and gradients; names, modes, lines of
the source; what cannot be mapped is refused by its name and place."""

from __future__ import annotations

import copy
import inspect
import math
import random
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from torch_beside import Of, check_same, close, drawn, fresh, nn, ours, torch

import minidl

F = torch.nn.functional
HERE = Path(__file__)
IMAGES = 2, 4, 9, 8
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


# --------------------------------------------------------------------------- random networks
class Residue(nn.Module):
    """x + F(x), written as people write it: in place, with functions, chunks and a buffer."""

    def __init__(self, inner: nn.Module, way: int):
        super().__init__()
        self.inner, self.way = inner, way
        self.scale = nn.Parameter(torch.tensor([0.7]))
        self.register_buffer("shift", torch.tensor([0.1]))

    def forward(self, x):
        y = self.inner(x)
        if self.way == 0:
            y = y * 1
            y += x
            return y
        if self.way == 1:
            return torch.add(x, self.scale * y) + self.shift
        a, b = torch.cat([x, y], dim=1).chunk(2, dim=1)
        return F.leaky_relu(a - b, 0.1, inplace=True) if self.training else F.leaky_relu(a - b, 0.1)


@st.composite
def networks(draw):
    """A network of images (N,4,H,W), with layers of every kind that keeps or shrinks images."""
    def one(depth: int) -> nn.Module:
        kinds = {
            "conv": lambda: nn.Conv2d(4, 4, draw(st.sampled_from([1, 3])), padding="same",
                                      groups=draw(st.sampled_from([1, 2, 4])),
                                      dilation=draw(st.sampled_from([1, 2])),
                                      bias=draw(st.booleans())),
            "norm": lambda: draw(st.sampled_from([
                nn.BatchNorm2d, lambda c: nn.GroupNorm(2, c), nn.InstanceNorm2d]))(4),
            "activation": lambda: draw(st.sampled_from([
                nn.ReLU, lambda: nn.ReLU(True), nn.GELU, nn.SiLU, nn.Tanh, nn.Hardswish,
                lambda: nn.ELU(0.5), lambda: nn.PReLU(4)]))(),
            "identity": lambda: draw(st.sampled_from([
                nn.Identity, lambda: nn.Sequential(nn.Dropout(0.0), nn.Tanh())]))(),
        }
        if depth:
            kinds["residue"] = lambda: Residue(row(depth - 1), draw(st.integers(0, 2)))
            kinds["row"] = lambda: row(depth - 1)
        return kinds[draw(st.sampled_from(sorted(kinds)))]()

    def row(depth: int) -> nn.Module:
        return nn.Sequential(*(one(depth) for _ in range(draw(st.integers(1, 3)))))

    pool = draw(st.sampled_from([
        nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(3),
        nn.AdaptiveMaxPool2d((3, 2)), nn.Conv2d(4, 4, 3, stride=2), nn.PixelShuffle(2)]))
    end = draw(st.sampled_from([nn.Flatten(), nn.AdaptiveAvgPool2d(1), nn.Softmax(1)]))
    seed = draw(st.integers(0, 2**16))
    torch.manual_seed(seed)
    return nn.Sequential(row(2), pool, one(0) if not isinstance(pool, nn.PixelShuffle)
                         else nn.ReLU(), end), drawn((3, 4, *draw(st.sampled_from(
                             [(6, 6), (7, 5), (8, 9)]))), seed)


@given(networks(), st.booleans())
def test_random_networks(drawn_network, training):
    network, images = drawn_network
    network.double()
    try:                               # PyTorch refuses some writes in place, in its backward pass
        copy.deepcopy(network)(images.clone().requires_grad_() * 1).sum().backward()
    except RuntimeError as error:
        assume("inplace operation" not in str(error))
    check_same(fresh(network).train(training), images)


@pytest.mark.parametrize("training", [True, False])
def test_float32(training):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
                        nn.Linear(4 * 7 * 6, 3)).train(training)
    mine = check_same(net, drawn(IMAGES), dtype=torch.float32)
    assert {p.dtype for p in mine.parameters()} == {minidl.float32}


# --------------------------------------------------------------------------- structure
class Net(nn.Module):
    """What a small network of somebody looks like."""

    def __init__(self):
        super().__init__()
        self.latent, self.title = 7, "net"
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4),
                                      nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.blocks = nn.ModuleList(Residue(nn.Conv2d(4, 4, 3, padding=1), 1) for _ in range(2))
        self.heads = nn.ModuleDict({"a": nn.Linear(4, 2), "b": nn.Linear(4, 2)})
        self.heads["b"].weight = self.heads["a"].weight                  # tied
        self.again = self.blocks[0]                                      # one module, two names
        self.register_buffer("seen", torch.tensor(3), persistent=False)

    def forward(self, x, other=None, *, factor=2.0):
        x = self.features(x)
        for block in self.blocks:
            x = block(x)
        x = self.again(x)
        x = F.dropout(F.gelu(x), 0.5, self.training).mean((2, 3)) * factor
        if other is not None:
            x = x + other
        return {"a": self.heads["a"](x), "b": (self.heads["b"](x), self.seen)}


def pixels(*shape: int) -> minidl.Tensor:
    return minidl.tensor(drawn(shape).numpy()).float()


def test_names_modes_and_sharing():
    theirs = Net()
    theirs.features[1].eval()
    mine = minidl.from_torch(theirs)
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert [type(m).__name__ for m in mine.modules()] == [
        type(m).__name__ for m in theirs.modules()]
    assert [m.training for m in mine.modules()] == [m.training for m in theirs.modules()]
    assert (mine.latent, mine.title) == (7, "net") and "features" in repr(mine)
    assert mine.features[0].stride == (2, 2) and mine.features[3].padding == 1
    assert mine.heads["a"].weight is mine.heads["b"].weight
    assert mine.again is mine.blocks[0] and "seen" not in mine.state_dict()
    assert [n for n, _ in mine.named_buffers()] == [n for n, _ in theirs.named_buffers()]
    theirs.features[0].weight.requires_grad_(False)
    assert not minidl.from_torch(theirs).features[0].weight.requires_grad


def test_numbers_are_copied_and_go_both_ways():
    theirs = Net().eval()
    mine = minidl.from_torch(theirs)
    before = theirs.features[0].weight.detach().clone()
    with minidl.no_grad():
        for p in mine.parameters():
            p.mul_(0.5)
    assert torch.equal(theirs.features[0].weight, before)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in mine.state_dict().items()})
    x = drawn((2, 1, 12, 12)).float()
    close(mine(minidl.tensor(x.numpy()))["a"].numpy(), theirs(x)["a"].detach().numpy(), "back")
    with torch.no_grad():
        theirs.features[0].weight.add_(1)
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    close(mine(minidl.tensor(x.numpy()))["a"].numpy(), theirs(x)["a"].detach().numpy(), "there")


def test_the_module_is_left_as_it_was():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls, self.bn, self.table = 0, nn.BatchNorm1d(4), torch.ones(4)

        def forward(self, x):
            self.calls += 1
            self.last = x
            return self.bn(x) * self.table + torch.ones(4)

    theirs = Counting()
    theirs.bn.eval()
    before = set(theirs.__dict__), [m.training for m in theirs.modules()]
    mine = minidl.from_torch(theirs)
    assert (set(theirs.__dict__), [m.training for m in theirs.modules()]) == before
    assert theirs.calls == 0 and mine(pixels(3, 4)).shape == (3, 4)
    assert torch.arange(3).tolist() == [0, 1, 2]                     # the function is PyTorch's


def test_inputs_defaults_and_keywords():
    theirs = Net().eval()
    x, other = pixels(2, 1, 12, 12), pixels(2, 4)
    with torch.no_grad():
        plain = theirs(torch.from_numpy(x.numpy()))
        added = theirs(torch.from_numpy(x.numpy()), torch.from_numpy(other.numpy()), factor=3.0)
    found = minidl.from_torch(theirs)(x)
    assert list(found) == ["a", "b"] and found["b"][1].item() == 3
    close(found["a"].numpy(), plain["a"].numpy(), "defaults")
    both = minidl.from_torch(theirs, inputs=["other", "factor"])
    close(both(x, other, factor=3.0)["b"][0].numpy(), added["b"][0].numpy(), "given")
    with pytest.raises(TypeError, match="Net: forward takes .*other"):
        both(x)
    with pytest.raises(ValueError, match="no parameter 'mask'; it has x, other, factor"):
        minidl.from_torch(theirs, inputs=["mask"])


def test_modes_are_followed_at_each_call():
    mine = minidl.from_torch(Net().eval())
    x = pixels(2, 1, 12, 12)
    assert np.array_equal(mine(x)["a"].numpy(), mine(x)["a"].numpy())
    mine.train()
    assert not np.array_equal(mine(x)["a"].numpy(), mine(x)["a"].numpy())      # dropout
    mine.blocks[1].eval()
    with pytest.raises(RuntimeError, match="'blocks.1' is in another mode"):
        mine(x)
    mine.eval()
    moved = mine.features[1].running_mean.numpy().copy()
    mine(x)
    assert np.array_equal(moved, mine.features[1].running_mean.numpy())


def test_inner_modules_can_be_called_and_hooked_and_copied():
    theirs = Net().eval()
    mine = copy.deepcopy(minidl.from_torch(theirs))
    x = drawn((2, 4, 5, 5)).float()
    close(mine.blocks[1](minidl.tensor(x.numpy())).numpy(), theirs.blocks[1](x).detach().numpy(),
          "a block alone")
    seen = []
    mine.features[0].register_forward_hook(lambda module, args, out: seen.append(out.shape))
    mine(pixels(2, 1, 12, 12))
    assert seen == [(2, 4, 5, 5)]


def test_a_holder_of_players_without_a_forward():
    class Players(nn.Module):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = nn.Linear(2, 3), Of(lambda x, y: x * y)

    mine = minidl.from_torch(Players())
    assert mine.generator(pixels(5, 2)).shape == (5, 3)
    assert mine.discriminator(pixels(5, 3), 2).shape == (5, 3)
    with pytest.raises(NotImplementedError, match="Players has no forward"):
        mine(pixels(5, 2))


def test_noise_is_drawn_anew_at_each_call():
    class Noisy(nn.Module):
        def forward(self, mu, logvar):
            return mu + torch.randn_like(mu) * torch.exp(0.5 * logvar) + torch.randn(3)

    mine = minidl.from_torch(Noisy())
    zero = minidl.zeros(4000, 3)
    first = mine(zero, zero)
    assert not np.array_equal(first.numpy(), mine(zero, zero).numpy())
    assert abs(first.numpy().var(0).mean() - 1) < 0.1


class Hidden(nn.Module):
    """Attention as people write it: unbind, einsum left out, a triangular mask, a table."""

    def __init__(self, dim=8, heads=2, length=6):
        super().__init__()
        self.heads, self.qkv, self.out = heads, nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.place = nn.Embedding(length, dim)
        self.register_buffer("mask", torch.tril(torch.ones(length, length)))

    def forward(self, x):
        B, T, D = x.shape
        assert D == 8, "the width"
        x = x + self.place(torch.arange(T, device=x.device))
        qkv = self.qkv(x).reshape(B, T, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        a = (q @ k.transpose(-2, -1)) / (D // self.heads) ** 0.5
        a = a.masked_fill(self.mask[:T, :T] == 0, float("-inf")).softmax(-1)
        return self.out((a @ v).transpose(1, 2).contiguous().view(B, T, D))


def test_attention_by_hand():
    torch.manual_seed(1)
    mine = check_same(Hidden(), drawn((2, 5, 8)))
    with pytest.raises(AssertionError, match="assert D == 8"):
        mine(minidl.zeros(2, 5, 9))


class Lists(nn.Module):
    """A list of parameters, an empty shortcut, a root of a size, a tuple as the result."""

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterList(nn.Parameter(torch.rand(4)) for _ in range(2))
        self.shortcut = nn.Sequential()

    def forward(self, x):
        y = x * self.weights[0] + self.shortcut(x) * self.weights[1]
        return y / math.sqrt(x.size(-1)), [y.flatten(), {"n": x.shape[0]}]


def test_lists_of_parameters_and_empty_rows():
    check_same(Lists(), drawn((3, 4)))


# --------------------------------------------------------------------------- writing in place
def writes_then_used(x, y):
    x = x * 1
    kept = x
    x += y
    return x * kept                                    # kept is x, and has changed with it


def written_view_of_the_end(x, y):
    z = (x * 2).flatten(1)
    z.mul_(3)
    return z


@pytest.mark.parametrize("expression", [writes_then_used, written_view_of_the_end,
                                        lambda x, y: torch.sin_(x * 1).add_(y).clamp_(min=0.1)])
def test_writing_in_place(expression):
    check_same(Of(expression), drawn((4, 3), 1), drawn((4, 3), 2))


# --------------------------------------------------------------------------- what a trace says
def test_explanations_name_the_lines_of_the_original_source():
    mine = minidl.from_torch(Net().eval())
    x, lines = pixels(2, 1, 12, 12), HERE.read_text(encoding="utf-8").splitlines()
    with minidl.record() as trace:
        y = mine(x)["a"]
        y.sum().backward()
    told = [(op["op"], op["module"], trace.site(op)) for op in trace.ops]
    def one(name, module):
        return next(str(site) for op, at, site in told if (op, at) == (name, module))
    def line_with(text):
        number = 1 + next(i for i, line in enumerate(lines) if line.strip() == text)
        return f"{HERE.name}:{number}  {text}"
    assert one("conv2d", "features.0") == line_with("x = self.features(x)")
    assert one("conv2d", "blocks.1.inner") == line_with("y = self.inner(x)")
    assert one("mul", "blocks.0") == line_with(
        "return torch.add(x, self.scale * y) + self.shift")
    assert one("linear", "heads.a").endswith(
        'return {"a": self.heads["a"](x), "b": (self.heads["b"](x), self.seen)}')
    names = {node["name"] for node in trace.nodes}
    assert {"features.0.weight", "blocks.0.scale", "heads.a.bias"} <= names
    trace.check()
    assert not [check for check in trace.checks if check["status"] == "fail"]
    assert len([check for check in trace.checks if check["status"] == "pass"]) > 50
    with minidl.keep():
        y = mine(x)["a"]
        assert "test_from_torch.py" in str(y.why())


def test_the_page_runs(tmp_path, capsys):
    """docs/torch.md, whose blocks run only where PyTorch is."""
    page = (HERE.parents[1] / "docs" / "torch.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "net.py").write_text("\n".join(blocks), encoding="utf-8")
    space = runpy.run_path(str(tmp_path / "net.py"))
    promised = re.search(r"# (net.py:.*)$", page, re.MULTILINE)[1]
    assert promised in capsys.readouterr().out.splitlines()
    assert len(blocks) == 2 and list(space["net"].state_dict()) == list(
        space["module"].state_dict())


def test_a_mistake_at_a_call_names_the_line_of_the_original_source():
    mine = minidl.from_torch(Net().eval())
    with pytest.raises(ValueError) as caught:
        mine(minidl.zeros(2, 3, 12, 12))
    frames = [entry for entry in caught.traceback if Path(entry.path) == HERE]
    assert "self.features(x)" in str(frames[-1].statement)


# --------------------------------------------------------------------------- refusals
class Chooses(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x


class Assigns(nn.Module):
    def forward(self, x):
        x[0] = 1
        return x


class One(Of):
    def forward(self, x):
        return self.expression[0](x)


class Draws(nn.Module):
    def forward(self, x):
        return x * random.random()


class Gathers(nn.Module):
    def forward(self, *images):
        return torch.cat(images)


class Deep(nn.Module):
    """The refused thing stands in 'inner.layer'."""

    def __init__(self, layer):
        super().__init__()
        self.inner = nn.Module()
        self.inner.layer = layer
        self.thrice = isinstance(layer, nn.MultiheadAttention)

    def forward(self, x):
        return self.inner.layer(x, x, x) if self.thrice else self.inner.layer(x)


def line_of(function, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


REFUSED = {
    "layer": (lambda: Deep(nn.LSTM(4, 4)), ["LSTM 'inner.layer': minidl has no such layer"]),
    "two at once": (lambda: nn.Sequential(nn.LSTM(4, 4), nn.Conv3d(1, 1, 1)),
                    ["LSTM '0'", "Conv3d '1'"]),
    "option": (lambda: Deep(nn.Conv2d(3, 3, 3, padding_mode="reflect")),
               ["Conv2d 'inner.layer': Conv2d: only padding_mode", "reflect"]),
    "option of ours": (lambda: Deep(nn.InstanceNorm2d(3, track_running_stats=True)),
                       ["InstanceNorm2d 'inner.layer': track_running_stats=True is not offered"]),
    "mode": (lambda: Deep(nn.Upsample(scale_factor=2, mode="bicubic")), ["'bicubic'"]),
    "attention": (lambda: Deep(nn.MultiheadAttention(4, 2, kdim=3)), ["kdim"]),
    "bias of keys": (lambda: Deep(nn.MultiheadAttention(4, 2, add_bias_kv=True)), ["bias_k"]),
    "choice": (lambda: Deep(Chooses()), [
        f"forward of 'inner.layer', {HERE}, line {line_of(Chooses, 'if x.sum')} "
        "(`if x.sum() > 0:`): the program asks for the numbers"]),
    "function": (lambda: Deep(One(torch.fft.fft)), [
        "torch._C._fft.fft_fft is none of minidl's, in forward of 'inner.layer', " + str(HERE)]),
    "method": (lambda: Of(lambda x, y: x.cumsum(0)), ["Tensor.cumsum is none of minidl's"]),
    "attribute": (lambda: Of(lambda x, y: x.real), ["Tensor.real"]),
    "option of a function": (lambda: Of(lambda x, y: F.interpolate(x, scale_factor=2,
                                                                   mode="bicubic")),
                             ["torch.nn.functional.interpolate: mode='bicubic' is not offered"]),
    "another option": (lambda: Of(lambda x, y: x.softmax(1, dtype=torch.float64)),
                       ["Tensor.softmax: the option dtype", "is not offered"]),
    "dtype": (lambda: Of(lambda x, y: x.to(torch.float16)), ["minidl has no torch.float16"]),
    "half weights": (lambda: Deep(nn.Linear(3, 3).half()), [
        "inner.layer.weight is of torch.float16"]),
    "lazy": (lambda: Deep(nn.LazyLinear(3)), ["LazyLinear 'inner.layer'"]),
    "random": (lambda: Deep(Draws()), ["draws random numbers"]),
    "loop": (lambda: Of(lambda x, y: [row * 2 for row in x]), ["the program asks for the numbers"]),
    "number": (lambda: Of(lambda x, y: x * float(y.sum())), ["the program asks for the numbers"]),
    "assignment": (lambda: Deep(Assigns()), ["x[i] = v writes into a tensor",
                                             f"line {line_of(Assigns, 'x[0]')} (`x[0] = 1`)"]),
    "view": (lambda: Of(lambda x, y: (lambda v: (x.mul_(2), v))(x.view(-1))),
             ["Tensor.mul_ writes into a value of which a view is returned: in forward"]),
    "view by keyword": (lambda: Of(lambda x, y: (lambda v: (torch.relu_(input=x), v))(
        torch.flatten(input=x))), [
            "torch.nn.functional.relu_ writes into a value of which a view is returned"]),
    "statistics": (lambda: Of(lambda x, y: F.instance_norm(x, y, y, use_input_stats=False)),
                   ["torch.nn.functional.instance_norm: running_mean", "is not offered"]),
    "sparse": (lambda: Deep(nn.Embedding(4, 3, 1, sparse=True)), ["sparse=True is not offered"]),
    "table": (lambda: Deep(nn.Embedding(4, 3, max_norm=1.0)), ["max_norm=1.0 is not offered"]),
    "output of a view": (lambda: Of(lambda x, y: (lambda v: (v.relu_(), x * y))(x.view(-1))),
                         ["Tensor.relu_ writes into a value of which a view is used later"]),
    "any number": (lambda: Gathers(), ["forward takes *images, any number of arguments"]),
    "list of layers": (lambda: One([nn.Linear(3, 3)][0]), ["not installed as a submodule"]),
    "arguments": (lambda: Of(lambda x, *y: x.softmax(1, 2, 3)),
                  ["Tensor.softmax: the arguments do not fit"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_mapped_is_refused_by_name_and_place(name):
    build, texts = REFUSED[name]
    with pytest.raises(ValueError, match="from_torch: .* cannot be mapped") as caught:
        minidl.from_torch(build())
    for text in texts:
        assert text in str(caught.value)


def test_a_buffer_that_is_written_into_is_refused():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)
            return x

    with pytest.raises(ValueError, match="Tensor.add_ writes into a parameter or buffer, in forward"
                                         f", .*{HERE.name}, line {line_of(Counts, 'add_')}"):
        minidl.from_torch(Counts())


def test_hooks_are_refused():
    net = Deep(nn.Linear(3, 3))
    net.inner.layer.register_forward_hook(lambda *args: None)
    with pytest.raises(ValueError, match="Linear 'inner.layer' has a hook"):
        minidl.from_torch(net)


def test_only_one_mode_can_be_mapped():
    class InTraining(nn.Module):
        def forward(self, x):
            return torch.fft.fft(x) if self.training else x * 2

    with pytest.raises(ValueError, match="fft"):
        minidl.from_torch(InTraining())
    mine = minidl.from_torch(InTraining().eval())
    assert mine(minidl.ones(3)).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match="cannot be called in training mode:\n.*fft"):
        mine.train()(minidl.ones(3))


def test_what_is_no_module_of_pytorch(monkeypatch):
    with pytest.raises(TypeError, match="expected a torch.nn.Module, got Linear"):
        minidl.from_torch(ours.Linear(2, 2))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError, match="PyTorch is not installed: python -m pip"):
        minidl.from_torch(ours.Linear(2, 2))


def test_a_subclass_that_computes_something_else_is_not_the_layer():
    class Standardised(nn.Conv2d):
        def forward(self, x):
            return F.conv2d(x, self.weight - self.weight.mean(), self.bias)

    class Called(nn.Linear):
        pass

    mine = check_same(nn.Sequential(Standardised(4, 2, 3), Called(6, 2)), drawn(IMAGES))
    assert type(mine[0]).__name__ == "Standardised" and type(mine[1]) is ours.Linear


def test_importing_minidl_imports_neither_pytorch_nor_the_bridge():
    code = ("import sys, minidl; minidl.nn; "
            "print([n for n in sys.modules if n.startswith(('torch', 'minidl.bridge'))])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(minidl.__file__).parents[1])
    assert done.stdout.strip() == "[]"
