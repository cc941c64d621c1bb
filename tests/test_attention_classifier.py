"""D3-ATTNET: the block and the classifier against plain formulas, and examples/attention.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import data, formulas
from minidl.models import PatchAttention, TransformerBlock


def block_by_formulas(block: TransformerBlock, x: np.ndarray) -> np.ndarray:
    """x + attention(norm(x)), then x + mlp(norm(x)), of one example (T, dim)."""
    w = {name: tensor.numpy() for name, tensor in block.state_dict().items()}
    dim, heads = x.shape[1], block.attention.num_heads

    def norm(x, name):
        y = np.zeros_like(x)
        for t in range(len(x)):
            m = sum(x[t]) / dim
            v = sum((x[t] - m) ** 2) / dim
            y[t] = (x[t] - m) / np.sqrt(v + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
        return y

    # formulas.py has no biases; where the block's are 0, its projections are the formula's.
    assert not w["attention.in_proj_bias"].any() and not w["attention.out_proj.bias"].any()
    cut = [[part.T for part in np.split(matrix, heads)]                     # W_i^Q, W_i^K, W_i^V
           for matrix in np.split(w["attention.in_proj_weight"], 3)]
    h = norm(x, "norm1")
    x = x + formulas.multi_head_attention(h, h, h, *cut, w["attention.out_proj.weight"].T)
    h = formulas.relu(formulas.linear(norm(x, "norm2"), w["mlp.0.weight"], w["mlp.0.bias"]))
    return x + formulas.linear(h, w["mlp.2.weight"], w["mlp.2.bias"])


def block(dim: int = 6, heads: int = 3, **options) -> TransformerBlock:
    made = TransformerBlock(dim, heads, mlp=2, **options).double()
    for norm in (made.norm1, made.norm2):
        with minidl.no_grad():
            norm.weight.copy_(np.linspace(0.5, 1.5, dim))
            norm.bias.copy_(np.linspace(-0.2, 0.2, dim))
    return made


def test_the_block_is_its_formula():
    made, x = block(), minidl.randn(2, 5, 6, dtype=np.float64)
    y = made(x).numpy()
    for n in range(2):
        assert y[n] == pytest.approx(block_by_formulas(made, x.numpy()[n]), rel=1e-9, abs=1e-12)


def test_causal_is_the_formula_of_what_came_before():
    """Position t of the whole sequence is the last position of the sequence that ends there."""
    made, x = block(), minidl.randn(1, 5, 6, dtype=np.float64)
    y = made(x, causal=True).numpy()[0]
    for t in range(5):
        alone = block_by_formulas(made, x.numpy()[0, :t + 1])[-1]
        assert y[t] == pytest.approx(alone, rel=1e-9, abs=1e-12)
    weights = made.attend(x, causal=True)[1].numpy()
    assert weights.shape == (1, 3, 5, 5) and not np.triu(weights, 1).any()
    assert weights.sum(-1) == pytest.approx(np.ones((1, 3, 5)))


def test_dropout_acts_in_training_alone():
    made, x = block(dropout=0.5), minidl.randn(2, 5, 6, dtype=np.float64)
    assert not np.array_equal(made(x).numpy(), made(x).numpy())
    made.eval()
    assert np.array_equal(made(x).numpy(), made(x).numpy())
    y = block_by_formulas(made, x.numpy()[0])
    assert made(x).numpy()[0] == pytest.approx(y, rel=1e-9, abs=1e-12)


def test_patches_are_read_row_by_row():
    """Token 1 + 7 i + j is a dense map of the 4x4 pixels at (4 i, 4 j), plus its position."""
    model, x = PatchAttention(dim=8, heads=2), minidl.rand(2, 1, 28, 28)
    tokens, images = model.tokens(x).numpy(), x.numpy()
    w, b = model.patches.weight.numpy().reshape(8, 16), model.patches.bias.numpy()
    position = model.position.numpy()[0]
    assert tokens.shape == (2, 50, 8)
    for n, i, j in np.ndindex(2, 7, 7):
        pixels = images[n, 0, 4 * i:4 * i + 4, 4 * j:4 * j + 4].reshape(16)
        assert tokens[n, 1 + 7 * i + j] == pytest.approx(
            w @ pixels + b + position[1 + 7 * i + j], abs=1e-5)
    assert tokens[:, 0] == pytest.approx(np.tile(model.token.numpy()[0, 0] + position[0], (2, 1)))


def test_maps_are_the_class_tokens_weights():
    """Both blocks: alpha of the class token by the formula, head by head; what the second block
    is given is what the first one made of the tokens."""
    model, x = PatchAttention(size=8, dim=8, heads=2, depth=2).double(), minidl.rand(3, 1, 8, 8)
    x = x.double()
    maps = model.attention_maps(x).numpy()
    assert maps.shape == (3, 2, 2, 2, 2)
    tokens = model.tokens(x)
    for i, (block, given) in enumerate(zip(model.blocks, (tokens, model.blocks[0](tokens)))):
        h = block.norm1(given).numpy()
        w_q, w_k, _ = np.split(block.attention.in_proj_weight.numpy(), 3)
        for n, head in np.ndindex(3, 2):
            part = slice(4 * head, 4 * head + 4)
            q, k = w_q[part] @ h[n, 0], h[n] @ w_k[part].T
            alpha = np.exp(k @ q / np.sqrt(4))
            alpha /= alpha.sum()
            assert maps[n, i, head].ravel() == pytest.approx(alpha[1:], rel=1e-9)


@pytest.mark.parametrize("make, message", [
    (lambda: PatchAttention(patch=5), "size=28 does not divide into patches of patch=5"),
    (lambda: PatchAttention(depth=0), "depth=0, at least 1 block"),
    (lambda: PatchAttention(dim=10, heads=4), "embed_dim=10 does not divide into num_heads=4"),
    (lambda: PatchAttention()(minidl.rand(1, 1, 32, 32)), "images must be of 28x28"),
    (lambda: TransformerBlock(8, 2)(minidl.rand(3, 8, 8, 8)), "must have 2 or 3 axes"),
])
def test_wrong_sizes_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --------------------------------------------------------------------------- examples/attention.py
def test_share_on_ink_by_hand():
    example = load_example("attention")
    images = np.zeros((1, 1, 4, 4), np.float32)
    images[0, 0, 0, 3] = 1                              # ink in the upper right patch of four
    maps = np.array([[0.1, 0.3], [0.1, 0.1]]).reshape(1, 1, 1, 2, 2)
    assert example.on_ink(maps, images) == pytest.approx(np.array([[0.5]]))
    with pytest.raises(ValueError, match="on_ink: maps of 3x3 do not divide images of 4x4"):
        example.on_ink(np.ones((1, 1, 1, 3, 3)), images)


def test_overlay_colours_where_attention_is():
    example = load_example("attention")
    image = np.zeros((4, 4))
    image[0, 0] = 1
    picture = example.overlay(image, np.array([[0.0, 0.2], [0.1, 0.0]]))
    orange = np.array([0xf0, 0x82, 0x1e]) / 255
    assert picture.shape == (3, 4, 4)
    assert picture[:, 0, 0] == pytest.approx(np.full(3, 0.25))      # ink without attention: dark
    assert picture[:, 3, 3] == pytest.approx(np.ones(3))            # neither: white
    assert picture[:, 1, 2] == pytest.approx(orange)                # the largest weight
    assert picture[:, 2, 1] == pytest.approx((1 + orange) / 2)      # half of it


@pytest.mark.parametrize("wrong, message", [
    (["--epochs", "0"], "0 is too small, at least 1"),
    (["--lr", "0"], "a number above 0 is needed"),
])
def test_wrong_numbers_are_refused_before_training(monkeypatch, capsys, wrong, message):
    monkeypatch.setattr(sys, "argv", ["attention.py", *wrong])
    monkeypatch.setattr(data, "mnist", lambda: pytest.fail("it went on"))
    with pytest.raises(SystemExit, match="2"):
        load_example("attention").main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("asked, epochs", [("", 1), ("--epochs 3", 3)])
def test_what_is_asked_for_goes_before_quick(monkeypatch, asked, epochs):
    script = load_example("attention")
    monkeypatch.setattr(sys, "argv", ["attention.py", "--quick", *asked.split()])
    monkeypatch.setattr(script, "fit", lambda *given, **_: sys.exit(f"{given[3]}"))
    with pytest.raises(SystemExit, match=f"^{epochs}$"):
        script.main()


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path = tmp_path / "attention.png"
    command = [sys.executable, str(EXAMPLES / "attention.py"), "--quick", "--out", str(path)]
    out = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
           for _ in range(2)]
    numbers = [[line.split(", in ")[0] for line in text.splitlines()
                if not line.startswith("compiling kernels")] for text in out]
    assert numbers[0] == numbers[1]
    assert "of the test digits right, in" in out[0] and "block 2, 4" in out[0]
    assert path.read_bytes()[:4] == b"\x89PNG"
