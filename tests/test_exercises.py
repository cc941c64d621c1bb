"""The exercises: solutions pass, stubs fail in a sentence, known mistakes are recognised.

What a file can do to its judge stands in test_judge.py.
"""

from __future__ import annotations

import ast
import json
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minidl import cli
from minidl.exercises import EXERCISES, child, judge, process

ROOT = Path(__file__).parent.parent
STUBS, SOLUTIONS = ROOT / "examples" / "exercises", ROOT / "tests" / "solutions"


def inside(task, timeout, most):
    """What process.run_solution does, without a process: a hundred files in the time of ten."""
    with tempfile.TemporaryFile() as file:
        child.answer(task, file)
        return list(process.npy_records(file))[:most], None


def judge_inside(name: str, path, seed: int = 0):
    """The verdict on a file that is known to be harmless."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "run_solution", inside)
        return judge(EXERCISES[name], path, seed=seed)


def judged(tmp_path, name: str, source: str):
    """The verdict on `source`, which stands for a student's file."""
    path = tmp_path / "mine.py"
    path.write_text("import numpy as np\n" + source, encoding="utf-8")
    return judge_inside(name, path)


# --------------------------------------------------------------------------- stubs and solutions
@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name):
    verdict = judge(EXERCISES[name], SOLUTIONS / f"{name}.py")
    assert verdict.passed, verdict.text()
    assert verdict.cases_right == verdict.cases >= 3
    assert verdict.text() == f"{name}: right, all {verdict.cases} cases"


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_fails_with_a_sentence(name):
    verdict = judge_inside(name, STUBS / f"{name}.py")
    assert not verdict.passed
    if name.startswith("bug_"):
        assert verdict.problem == "value" and verdict.hint and verdict.cell in verdict.text()
    else:
        assert verdict.problem == "stub"
        assert re.match(r"The function is still to be written: line \d+", verdict.message)
    assert verdict.text().isascii() and "Traceback" not in verdict.text()


@pytest.mark.parametrize("name", EXERCISES)
def test_the_stub_says_what_to_write(name):
    exercise, text = EXERCISES[name], (STUBS / f"{name}.py").read_text(encoding="utf-8")
    functions = {node.name: ", ".join(a.arg for a in node.args.args)
                 for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert f"{exercise.function}({functions[exercise.function]})" == exercise.signature
    assert exercise.source in text, "the ledger id"
    imported = {n for n in re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)}
    assert imported <= {"numpy"}


def test_every_file_is_an_exercise():
    for folder in (STUBS, SOLUTIONS):
        assert {path.stem for path in folder.glob("*.py")} == set(EXERCISES)


def test_a_seed_draws_its_cases_again():
    for exercise in EXERCISES.values():
        first, second, other = (list(exercise.cases(np.random.default_rng(seed)))
                                for seed in (0, 0, 1))
        assert str(first) == str(second) != str(other)


@settings(max_examples=30)
@given(st.sampled_from([*EXERCISES]), st.integers(0, 2**32 - 1))
def test_any_seed_is_fair(name, seed):
    assert judge_inside(name, SOLUTIONS / f"{name}.py", seed).passed
    verdict = judge_inside(name, STUBS / f"{name}.py", seed)
    assert not verdict.passed and (verdict.hint or verdict.problem == "stub")


# --------------------------------------------------------------------------- mistakes
CONV_Y = """
def conv2d(x, w, stride, padding, dilation):
    (N, C, H, W), (O, _, KH, KW) = x.shape, w.shape
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    OH = (H + 2 * PH - DH * (KH - 1) - 1) // SH + 1
    OW = (W + 2 * PW - DW * (KW - 1) - 1) // SW + 1
    y = np.zeros((N, O, OH, OW))
    for n, o, i, j, c, u, v in np.ndindex(N, O, OH, OW, C, KH, KW):
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < H and 0 <= k < W:
            y[n, o, i, j] += x[n, c, h, k] * w[o, c, u, v]
    return y
"""
CONV_DX = """
def conv2d_dx(gy, w, size, stride, padding, dilation):
    (N, O, OH, OW), (_, C, KH, KW), (H, W) = gy.shape, w.shape, size
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    gx = np.zeros((N, C, H, W))
    for n, o, i, j, c, u, v in np.ndindex(N, O, OH, OW, C, KH, KW):
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < H and 0 <= k < W:
            gx[n, c, h, k] += gy[n, o, i, j] * w[o, c, u, v]
    return gx
"""
CONV_DW = """
def conv2d_dw(gy, x, kernel, stride, padding, dilation):
    (N, O, OH, OW), (_, C, H, W), (KH, KW) = gy.shape, x.shape, kernel
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    gw = np.zeros((O, C, KH, KW))
    for n, o, i, j, c, u, v in np.ndindex(N, O, OH, OW, C, KH, KW):
        h, k = i * SH - PH + u * DH, j * SW - PW + v * DW
        if 0 <= h < H and 0 <= k < W:
            gw[o, c, u, v] += gy[n, o, i, j] * x[n, c, h, k]
    return gw
"""
INSIDE = "if 0 <= h < H and 0 <= k < W"
SLIPS = {                                  # by solution: (what is changed, into what, the hint)
    "conv2d": (CONV_Y, [
        ("u, v]\n", "KH - 1 - u, KW - 1 - v]\n", "turned by 180"),
        ("+=", "=", "only the last one"),
        (" - PH + ", " + ", "PH is left out", " - PW + ", " + "),
        (INSIDE, "if h < H and k < W", "other end of the image"),
        ("i * SH - PH", "i - PH", "the stride is left out", "j * SW", "j"),
        ("u * DH", "u", "the dilation is left out", "v * DW", "v"),
        ("i * SH - PH + u * DH", "i - PH + u", "stride and dilation", "j * SW - PW + v * DW",
         "j - PW + v"),
        ("OW, C, KH", "OW, 1, KH", "only one channel"),
    ]),
    "conv2d_dx": (CONV_DX, [
        ("u, v]\n", "KH - 1 - u, KW - 1 - v]\n", "turned by 180"),
        ("+=", "=", "only the last one"),
        (" - PH + ", " + ", "PH is left out", " - PW + ", " + "),
        (INSIDE, "if h < H and k < W", "other end of the image"),
        ("i * SH - PH", "i - PH", "the stride is left out", "j * SW", "j"),
        ("u * DH", "u", "the dilation is left out", "v * DW", "v"),
    ]),
    "conv2d_dw": (CONV_DW, [
        ("gw[o, c, u, v]", "gw[o, c, KH - 1 - u, KW - 1 - v]", "turned by 180"),
        ("+=", "=", "only the last one"),
        (" - PH + ", " + ", "PH is left out", " - PW + ", " + "),
        (INSIDE, "if h < H and k < W", "other end of the image"),
        ("i * SH - PH", "i - PH", "the stride is left out", "j * SW", "j"),
        ("u * DH", "u", "the dilation is left out", "v * DW", "v"),
        ("return gw", "return gw / N", "the mean over the batch"),
    ]),
    "linear_backward": (None, [
        ("gy @ w,", "gy @ w.T,", "transposed once too often"),
        ("gy.sum(axis=0)", "gy.mean(axis=0)", "mean over the batch"),
        ("gy.T @ x", "gy.T @ x / len(x)", "mean over the batch"),
        ("gy.T @ x", "x.T @ gy", "this is the transpose"),
        ("return gy @ w", "return -gy @ w", "wrong sign"),
    ]),
    "relu_backward": (None, [
        ("x > 0", "x >= 0", "slope of 0"),
        ("x > 0", "gy > 0", "mask is taken from gy"),
        ("gy * (x > 0)", "(x > 0)", "slope alone"),
        ("gy * (x > 0)", "x * (x > 0)", "the forward pass"),
        ("gy * (x > 0)", "0 * gy", "0 everywhere"),
        ("gy * (x > 0)", "gy * (x > 0) * 3", "is 3 times what it should be"),
        ("gy * (x > 0)", "gy * (x > 0) / 3", "(1 / 3) times what it should be"),
        ("gy * (x > 0)", "(gy * (x > 0) / 3).astype(np.float32) * np.float32(3)", "float32"),
    ]),
    "broadcast_backward": (None, [
        (".sum(axis=ones", ".mean(axis=ones", "copies' gradients", "gy.sum(", "gy.mean("),
        ("gx.sum(axis=ones, keepdims=True)", "gy[(0,) * (gy.ndim - len(shape))]"
         "[tuple(slice(n) for n in shape)]", "one copy's gradient alone"),
        ("keepdims=True", "keepdims=False", "only axes of length 1 differ"),
    ]),
    "max_pool_dx": (None, [
        ("u, v = np.unravel_index(patch.argmax(), patch.shape)",
         "for u, v in np.argwhere(patch == patch.max()):", "each of the equal maxima",
         "        gx[", "            gx["),
        ("patch.argmax()", "patch.size - 1 - patch[::-1, ::-1].argmax()", "the last of the equal"),
        ("+=", "=", "add (+=)"),
        ("u, v = np.unravel_index(patch.argmax(), patch.shape)",
         "for u, v in np.ndindex(*patch.shape):", "average pooling", "        gx[",
         "            gx[", "gy[n, c, i, j]\n", "gy[n, c, i, j] / patch.size\n"),
    ]),
    "softmax_ce": (None, [
        (".mean(), gx", ".sum(), gx", "the sum over the rows"),
        (".mean(), gx", ".mean() / x.shape[1], gx", "over the N rows"),
        ("x - x.max(axis=1, keepdims=True)", "x", "e^1000 is inf"),
        ("-log_p[n, t]", "-np.log(np.exp(log_p))[n, t]", "not the logarithm of p"),
        ("gx / len(t)", "gx", "not divided by N"),
        ("    gx[n, t] -= 1\n", "", "not subtracted"),
        ("gx / len(t)", "gx / x.size", "divided by N C"),
        ("gx / len(t)", "-gx / len(t)", "wrong sign"),
        ("gx = np.exp(log_p)", "gx = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)", "e^1000"),
        ("gx = np.exp(log_p)", "gx = np.exp(x - x.max(axis=0)); gx = gx / gx.sum(axis=0)",
         "axis 0"),
    ]),
    "batch_norm_dx": (None, [
        (" - through_mean - through_variance", "", "taken as constants"),
        (" - through_variance", "", "through the variance is missing"),
        (" - through_mean", "", "through the mean is missing"),
        ("gamma[:, None, None] / sigma", "1 / sigma", "gamma is left out"),
        ("np.sqrt(x.var(axis=axes, keepdims=True) + eps)",
         "np.sqrt(x.var(axis=axes, keepdims=True)) + eps", "outside of the square root"),
        ("x.var(axis=axes,", "x.var(axis=axes, ddof=1,", "n - 1"),
        ("(0, 2, 3)", "(0,)", "over the batch alone"),
    ]),
    "sgd_momentum": (None, [
        ("b = momentum * b + g\n    return p - lr * b, b",
         "old = b\n    b = momentum * b + g\n    return p - lr * old, b", "along the old b"),
        ("b = momentum * b + g\n    return p - lr * b, b",
         "return p - lr * b, momentum * b + g", "along the old b"),
        ("p - lr * b, b", "p - lr * g, b", "along g alone"),
        ("p - lr * b, b", "p + lr * b, b", "climbs"),
        ("momentum * b + g", "momentum * b + (1 - momentum) * g", "not a mean"),
        ("b = momentum * b + g\n    return p - lr * b, b",
         "b = momentum * b + lr * g\n    return p - b, b", "inside b"),
    ]),
    "adam": (None, [
        ("m / (1 - beta1**t), v / (1 - beta2**t)", "m, v", "no bias correction"),
        ("v / (1 - beta2**t)", "v", "v is not corrected"),
        ("m / (1 - beta1**t)", "m", "m is not corrected"),
        ("np.sqrt(v_hat) + eps", "np.sqrt(v_hat + eps)", "inside of the square root"),
        ("m_hat, v_hat", "t = t + 1\n    m_hat, v_hat", "counted up once more"),
        ("m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)", "t = np.float64(t - 1)\n"
         "    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)", "start at 0"),
        ("np.sqrt(v_hat)", "v_hat", "square root of v^ is missing"),
        ("p - lr", "p + lr", "climbs"),
        ("beta1 * m + (1 - beta1) * g", "(1 - beta1) * m + beta1 * g", "changed places"),
        ("beta1 * m + (1 - beta1) * g", "beta2 * m + (1 - beta2) * g", "beta1 belongs"),
        ("), m, v", "), m_hat, v", "kept for the next step is m"),
        ("g**2", "g", "not squared"),
        ("beta2 * v + (1 - beta2)", "beta1 * v + (1 - beta1)", "beta2 belongs"),
        ("), m, v", "), m, v_hat", "kept for the next step is v"),
        ("), m, v", "), v, m", "this is v: the order is p, m, v"),
    ]),
    "reparameterise": (None, [
        ("np.exp(logvar / 2)", "np.exp(logvar)", "variance e^logvar"),
        ("np.exp(logvar / 2)", "logvar", "logvar itself"),
        ("np.exp(logvar / 2)", "np.sqrt(logvar)", "logvar is a logarithm"),
        ("mu + sigma * eps", "mu", "without noise"),
        (", gz, gz", ", np.ones(gz.shape), gz", "gz is left out"),
        ("sigma / 2", "sigma", "the 1/2 is left out"),
        ("gz * eps * sigma / 2", "gz * eps", "gradient for sigma"),
        ("gz * eps * sigma / 2", "gz * sigma / 2", "eps is left out"),
        ("eps * sigma / 2", "eps * sigma**2 / 2", "sigma belongs"),
        ("eps * sigma / 2", "eps * sigma**2", "sigma belongs"),
    ]),
    "gaussian_kl": (None, [
        ("-0.5", "0.5", "never negative"),
        ("-0.5", "-1", "the 1/2 is left out"),
        (".sum(axis=1).mean()", ".sum()", "the sum over the rows"),
        (".sum(axis=1).mean()", ".mean()", "the mean over j too"),
        (".sum(axis=1).mean()", ".sum(axis=1)", "it is one number"),
        ("variance = np.exp(logvar)", "variance = np.exp(logvar / 2)", "sigma^2 belongs"),
        ("variance = np.exp(logvar)", "logvar = 2 * logvar; variance = np.exp(logvar)",
         "taken for log sigma"),
        ("mu / len(mu)", "mu", "not divided by N"),
        ("(variance - 1) / len(mu)", "(variance - 1)", "not divided by N"),
        ("0.5 * (variance - 1)", "(variance - 1)", "the 1/2 is left out"),
    ]),
    "bug_softmax_twice": (None, [
        ("_logits(x, t)", "_logits(np.exp(log_softmax(x)), t)", "what is it given?"),
        ("-log_softmax(logits)", "-np.log(logits)", "gone from both places"),
    ]),
    "bug_f1": (None, [
        ("2 * precision * recall / (precision + recall)", "(y == t).mean()", "this is accuracy"),
        ("hits == 0", "hits < 0", "0 / 0"),
        ("2 * precision * recall / (precision + recall)", "(precision + recall) / 2", "harmonic"),
        ("2 * precision * recall / (precision + recall)", "precision", "this is precision"),
        ("2 * precision * recall / (precision + recall)", "recall", "this is recall"),
    ]),
    "bug_gan_losses": (None, [
        ("np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()",
         "(np.log(real) + np.log(1 - fake)).mean()", "logarithm of a logit"),
        ("np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()",
         "-(np.log(real) + np.log(1 - fake)).mean()", "logarithm of a logit"),
        ("return d_loss", "return -d_loss", "which D climbs"),
        ("np.logaddexp(0, -real).mean()", "-np.log(1 / (1 + np.exp(-real))).mean()",
         "0 in float64", "np.logaddexp(0, fake)", "-np.log(1 - 1 / (1 + np.exp(-fake)))"),
        ("return d_loss, g_loss", "return d_loss, -d_loss", "this is V"),
        ("return d_loss, g_loss", "return d_loss, d_loss", "this is D's loss"),
        ("return d_loss, g_loss", "return d_loss, -np.logaddexp(0, fake).mean()", "vanishes"),
        ("return d_loss, g_loss", "return d_loss, -g_loss", "the sign is turned"),
        ("np.logaddexp(0, -fake)", "-np.log(1 / (1 + np.exp(-fake)))", "0 in float64"),
    ]),
    "bug_gan_step": (None, [
        ("(x @ w, 1) + fake.T @ bce_grad(fake @ w, 0)", "(x @ w, 0)",
         "shown no generated images, and"),
        ("(x @ w, 1)", "(x @ w, 0)", "real images are labelled 0"),
        ("bce_grad(fake @ w, 0)", "(bce_grad(fake @ w, 0) + bce_grad(fake @ w, 1))",
         "before D's turn"),
        ("bce_grad(fake @ w, 0)", "bce_grad(fake @ w, 1)", "generated images count as 1"),
        ("(x @ w, 1) + fake.T @ bce_grad(fake @ w, 0)",
         "(x @ w, 0) + fake.T @ bce_grad(fake @ w, 1)",
         "the function as printed"),
        (" + fake.T @ bce_grad(fake @ w, 0)", "", "shown no generated"),
        ("    w = w - lr * gw\n", "", "G's turn comes first", "return w,", "return w - lr * gw,"),
        ("g = bce_grad(fake @ w, 1)", "g = bce_grad(fake @ w, 0)", "labelled 0: G wants"),
    ]),
}


@pytest.mark.parametrize("name, slip", [(name, slip) for name, (_, slips) in SLIPS.items()
                                        for slip in slips], ids=str)
def test_a_typical_mistake_is_recognised(tmp_path, name, slip):
    source = SLIPS[name][0] or (SOLUTIONS / f"{name}.py").read_text(encoding="utf-8")
    old, new, hint, *more = slip
    for a, b in zip([old, *more[::2]], [new, *more[1::2]]):
        assert a in source
        source = source.replace(a, b)
    verdict = judged(tmp_path, name, source)
    assert not verdict.passed
    assert hint in verdict.text(), verdict.text()


def test_a_mistake_of_every_exercise_is_tried():
    assert set(SLIPS) == set(EXERCISES)


def test_shares_assigned_tap_by_tap(tmp_path):
    verdict = judged(tmp_path, "conv2d_dx", """
def conv2d_dx(gy, w, size, stride, padding, dilation):
    (N, O, OH, OW), (_, C, KH, KW), (H, W) = gy.shape, w.shape, size
    (SH, SW), (PH, PW), (DH, DW) = stride, padding, dilation
    gx = np.zeros((N, C, H + 2 * PH, W + 2 * PW))
    for u in range(KH):
        for v in range(KW):
            share = np.einsum("noij,oc->ncij", gy, w[:, :, u, v])
            gx[:, :, u * DH:u * DH + OH * SH:SH, v * DW:v * DW + OW * SW:SW] = share
    return gx[:, :, PH:PH + H, PW:PW + W]
""")
    assert verdict.cell == "gx[0, 0, 0, 1]" and (verdict.got, verdict.expected) == (1, 5)
    assert "the last tap wins" in verdict.hint
    assert re.search(r"gx\[0, 0, 0, 1\] is 1, should be 5; \d of the 9 numbers of gx are wrong\.",
                     verdict.text())


# --------------------------------------------------------------------------- unfit files
@pytest.mark.parametrize("source, problem, text", [
    ("", "missing", "no function relu_backward; wanted is relu_backward(gy, x)"),
    ("def relu_back(gy, x): return gy", "missing", "(but relu_back)"),
    ("def relu_backward(gy): return gy", "signature", "yours is relu_backward(gy)"),
    ("def relu_backward(x, gy): return gy", "signature", "in this order; yours is"),
    ("relu_backward = max", "signature", "is called as relu_backward(gy, x)"),
    ("def relu_backward(gy, x):\n    gx = gy *", "exception", "line 3, `gx = gy *`: SyntaxError"),
    ("raise RuntimeError('no')", "exception", "does not run: line 2, `raise RuntimeError"),
    ("import sys; sys.exit()", "exception", "SystemExit"),
    ("def relu_backward(gy, x):\n    return gy[99]", "exception",
     "Your function stops: line 3, `return gy[99]`: IndexError"),
    ("def relu_backward(gy, x):\n    return np.ones((2, 3)) @ gy @ gy @ gy", "exception", "line 3"),
    ("def relu_backward(gy, x):\n    gy[x <= 0] = 0\n    return gy", "in place",
     "changes its argument gy"),
    ("def relu_backward(gy, x): gx = gy", "outputs", "`return gx`"),
    ("def relu_backward(gy, x): return 'gx'", "outputs", "array of numbers, got str"),
    ("def relu_backward(gy, x): return [[1], [1, 2]]", "outputs", "array of numbers, got list"),
    ("def relu_backward(gy, x): return gy[:1]", "shape", "gx must have shape (4,), got (1,)"),
    ("def relu_backward(gy, x): return gy * np.nan", "value", "nan and inf come from"),
    ("count = 0\ndef relu_backward(gy, x):\n    global count\n    count += 1\n"
     "    return gy * (x > 0) * (1 if count < 6 else 2)", "property", "a check beside them fails"),
])
def test_an_unfit_file_gets_a_sentence(tmp_path, source, problem, text):
    verdict = judged(tmp_path, "relu_backward", source)
    assert not verdict.passed and verdict.problem == problem
    assert text in verdict.text(), verdict.text()


def test_a_function_that_is_half_written_is_told_where_it_ends(tmp_path):
    verdict = judged(tmp_path, "conv2d", CONV_Y.replace("    y = np", """
    if stride != (1, 1):
        raise NotImplementedError("stride")
    y = np"""))
    assert verdict.problem == "stub" and verdict.cases_right > 0
    assert "NotImplementedError: stride" in verdict.message and "stride (2, 2)" in verdict.case


def test_the_number_of_outputs(tmp_path):
    verdict = judged(tmp_path, "softmax_ce", "def softmax_ce(x, t): return 0.0")
    assert "shall return loss, gx; it returns one float" in verdict.message
    verdict = judged(tmp_path, "softmax_ce", "def softmax_ce(x, t): return 1, 2, 3")
    assert "it returns 3 values" in verdict.message


def test_a_state_that_is_not_handed_on(tmp_path):
    verdict = judged(tmp_path, "sgd_momentum", """
def sgd_momentum(p, g, b, lr, momentum):
    new = momentum * b + g
    return p - lr * new, new if len(p.shape) > 1 or abs(g).max() != 20 else b
""")
    assert verdict.problem == "property" and "step" in verdict.message


# --------------------------------------------------------------------------- the command
def test_the_command_lists_and_describes(capsys):
    assert cli.main(["exercise"]) == 0
    out = capsys.readouterr().out
    for number, (name, exercise) in enumerate(EXERCISES.items(), 1):
        assert re.search(rf"^ *{number}  {name} +{re.escape(exercise.task)}\n.*{name}\.py$", out,
                         re.MULTILINE)
    assert out.isascii()
    assert cli.main(["exercise", "adam"]) == 0
    out = capsys.readouterr().out
    assert "Write: adam(p, g, m, v, t, lr, beta1, beta2, eps) -> p, m, v" in out
    assert cli.main(["exercise", "--json"]) == 0
    assert [e["name"] for e in json.loads(capsys.readouterr().out)["exercises"]] == [*EXERCISES]


def test_the_command_judges(capsys):
    assert cli.main(["exercise", "adam", str(SOLUTIONS / "adam.py")]) == 0
    assert "adam: right" in (out := capsys.readouterr().out)
    assert "The next one: bug_f1" in out
    assert cli.main(["exercise", "bug_f1", str(STUBS / "bug_f1.py")]) == 1
    assert "f1 is 0.6, should be 0.5." in capsys.readouterr().out


def test_json_is_complete_and_alone(tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text("print('loading')\ndef relu_backward(gy, x):\n    print('called')\n"
                    "    return gy * (x >= 0) / 0.0", encoding="utf-8")
    assert cli.main(["exercise", "relu_backward", str(path), "--json"]) == 1
    captured = capsys.readouterr()
    found = json.loads(captured.out, parse_constant=pytest.fail)         # no NaN, no Infinity
    assert "loading" in captured.err and "called" in captured.err
    assert found["name"] == "relu_backward" and found["passed"] is False
    assert (found["cases"], found["cases_right"], found["problem"]) == (4, 0, "value")
    assert (found["cell"], found["expected"], found["got"]) == ("gx[0]", 0.0, "nan")
    assert found["inputs"] == {"gy": [10, 20, -30, 40], "x": [-1, 0, 2, 5]}
    assert found["wrong_cells"] == found["cells"] == 4
    assert found["got_output"] == ["nan", "inf", "-inf", "inf"]
    assert found["hint"] and found["message"] and found["formula"]
    assert cli.main(["exercise", "conv2d", str(SOLUTIONS / "conv2d.py"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["passed"] is True and found["problem"] is None and found["cases_right"] == 10


def test_the_page_shows_what_is_so(tmp_path):
    text = (ROOT / "docs" / "exercises.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| \d+ \| \[`(\w+)`\]", text, re.MULTILINE) == [*EXERCISES]
    (mine,) = re.findall(r"```python\n(import numpy.*?)```", text, re.DOTALL)
    shown = judged(tmp_path, "conv2d_dx", mine).text()
    assert f"```text\n{shown}\n```" in text, shown


def test_wrong_use_is_told(tmp_path, capsys):
    assert cli.main(["exercise", "conv3d"]) == 2
    assert "there is no 'conv3d'; there are linear_backward, relu_backward" in (
        capsys.readouterr().err)
    assert cli.main(["exercise", "adam", str(tmp_path / "none.py")]) == 2
    err = capsys.readouterr().err
    assert "there is no file" in err and "adam.py" in err
    assert cli.main(["exercise", "adam", str(tmp_path)]) == 2
    assert "a folder, where a regular file should be" in capsys.readouterr().err
