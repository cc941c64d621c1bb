"""D3-RESNET: the network against plain formulas, its twin without skips, and examples/resnet.py."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minidl
from examples import EXAMPLES, load_example
from minidl import formulas, nn
from minidl.models import ResNet


def tiny(skips: bool = True) -> ResNet:
    """One stage of one block, float64; in evaluation mode, with statistics as if it had learnt."""
    model = ResNet(widths=(2,), blocks=1, classes=3, skips=skips).double().eval()
    rng = np.random.default_rng(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                with minidl.no_grad():
                    tensor.copy_(rng.uniform(0.5, 2, 2))
    return model


def by_formulas(model: ResNet, x: np.ndarray, skips: bool) -> np.ndarray:
    """The logits by the loops of formulas.py."""
    w = {name: tensor.numpy() for name, tensor in model.state_dict().items()}

    def conv_norm(x, conv, norm, stride):
        y = formulas.conv2d(x, w[f"{conv}.weight"], stride=(stride, stride), padding=(1, 1))
        parts = (w[f"{norm}.{part}"] for part in ("weight", "bias", "running_mean", "running_var"))
        return formulas.batch_norm(y, *parts, eps=1e-5, training=False)[0]

    def function(x):
        at = "3.function" if skips else "3"
        h = formulas.relu(conv_norm(x, f"{at}.0", f"{at}.1", 1))
        return conv_norm(h, f"{at}.3", f"{at}.4", 1)

    x = formulas.relu(conv_norm(x, "0", "1", 2))
    x = formulas.relu(formulas.residual(x, function) if skips else function(x))
    return formulas.linear(x.mean((2, 3)), w["7.weight"], w["7.bias"])


@pytest.mark.parametrize("skips", [True, False])
def test_the_network_is_its_formulas(skips):
    model, x = tiny(skips), np.random.default_rng(1).normal(size=(2, 1, 6, 6))
    y = model(minidl.tensor(x, dtype=np.float64)).numpy()
    assert y == pytest.approx(by_formulas(model, x, skips), rel=1e-10)


def test_with_and_without_skips_begin_with_the_same_weights():
    minidl.manual_seed(3)
    ours = ResNet(blocks=2)
    minidl.manual_seed(3)
    plain = ResNet(blocks=2, skips=False)
    pairs = list(zip(ours.parameters(), plain.parameters(), strict=True))
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs)
    assert sum(isinstance(m, nn.Residual) for m in ours.modules()) == 4
    assert not any(isinstance(m, nn.Residual) for m in plain.modules())


def test_depth_and_classes_are_options():
    model = ResNet(channels=3, classes=5, widths=(4, 8, 16), blocks=2)
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 3 * (1 + 2 * 2)
    assert model(minidl.rand(2, 3, 32, 32)).shape == (2, 5)


@pytest.mark.parametrize("options", [{"blocks": 0}, {"widths": ()}])
def test_no_block_or_no_stage_is_an_error(options):
    with pytest.raises(ValueError, match="ResNet: widths=.*blocks=.*at least one"):
        ResNet(**options)


# --------------------------------------------------------------------------- examples/resnet.py
def test_the_picture_has_both_depths(tmp_path):
    example, path = load_example("resnet"), tmp_path / "x.png"
    run = [2.0, 1.0, 0.5, 0.4], [0.9, 0.95]
    runs = {(layers, skips): run for layers in (15, 39) for skips in ("with", "without")}
    example.draw(runs).savefig(path)
    assert path.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
def test_the_script_runs(tmp_path):
    path = tmp_path / "resnet.png"
    command = [sys.executable, str(EXAMPLES / "resnet.py"), "--quick", "--out", str(path)]
    out = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
           for _ in range(2)]
    tables = [text.split("network ")[1].splitlines() for text in out]
    for first, second in zip(*tables):                           # but for the seconds
        assert first.split()[:-1] == second.split()[:-1]
    assert "7 layers, with skips " in out[0] and "11 layers, without skips " in out[0]
    assert path.read_bytes()[:4] == b"\x89PNG"
