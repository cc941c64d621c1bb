"""The judge is a judge: no file passes but by right numbers, and none hangs or floods the judge."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import cli
from minidl.exercises import EXERCISES, Exercise, child, judge, process

PACKAGE = Path(minidl.__file__).resolve().parent
RIGHT = "def relu_backward(gy, x): return gy * (x > 0)\n"
WRONG = "def relu_backward(gy, x): return gy\n"
FORGED = "relu_backward: right, all 4 cases"
ENDS = "The program ends before the function has answered"
NOTHING_OF_MINIDL = "ImportError: a solution may use NumPy, and nothing of minidl"
NO_PROGRAMS = "PermissionError: a solution may not start or stop programs"
NO_FOLDERS = "PermissionError: a solution may not open folders"
POSIX = pytest.mark.skipif(os.name != "posix", reason="a matter of POSIX")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits address space on Linux")


def into_every_file(made: str) -> str:
    """A solution that writes the bytes `made` (code) where answers may be expected, and leaves."""
    return f"""
import io, os, numpy as np
def npy(*arrays):
    file = io.BytesIO()
    for array in arrays:
        np.lib.format.write_array(file, np.asarray(array))
    return file.getvalue()
def relu_backward(gy, x):
    for fd in range(64):
        try:
            os.write(fd, {made})
        except OSError:
            pass
    os._exit(0)
"""


# name: (source, a part of the verdict)
BAD = {
    "takes the guard away": ("import __main__\n__main__.guard.__code__ = None\nimport minidl",
                             "AttributeError"),
    "renames": ("import os\nos.rename('/tmp', '/tmp2')", "a solution may not write files"),
    "makes a folder": ("import os\nos.mkdir('made')", "a solution may not write files"),
    "leaves": ("import os; os._exit(0)", ENDS),
    "leaves in the function": ("import os\ndef relu_backward(gy, x): os._exit(0)", ENDS),
    "leaves later": ("import os\nn = []\ndef relu_backward(gy, x):\n    n.append(0)\n"
                     "    return gy * (x > 0) if len(n) < 5 else os._exit(0)", ENDS),
    "leaves by sys.exit": ("import sys\ndef relu_backward(gy, x): sys.exit(0)", "SystemExit: 0"),
    "prints a verdict": (f"import os\nprint({FORGED!r}, flush=True); os._exit(0)", ENDS),
    "writes a verdict": (f"import os\nos.write(1, b'\\n{FORGED}\\n')\nos._exit(0)", ENDS),
    "verdict at exit": (f"import atexit, os\natexit.register(print, {FORGED!r})\n"
                        f"os._exit = lambda status: None\n{WRONG}", "gx[0] is 10, should be 0"),
    "verdict in an error": (f"def relu_backward(gy, x): raise ValueError('\\n{FORGED}\\r\\x1b[2J')",
                            f"ValueError: \\n{FORGED}\\r\\x1b[2J"),
    "verdict in a name": (f"globals()['\\n{FORGED}'] = lambda: 0",
                          "no function relu_backward (but"),
    "clears the screen": (f"print('\\x1b[2J\\x1b[H{FORGED}\\r\\x9b1A\\u202e\\x07')\n{WRONG}",
                          "gx[0] is 10"),
    "replaces the judge": ("import __main__\n__main__._output = lambda name, value: value\n"
                           "__main__._where = __main__.Unfit = None\n" + WRONG,
                           "gx[0] is 10, should be 0"),
    "clears the modules": ("import sys; sys.modules.clear()\n" + WRONG, ""),
    "replaces NumPy": ("import numpy as np\nnp.lib.format.write_array = lambda *a, **k: None\n"
                       "np.array = np.asarray = np.ndarray = np.testing = None\n" + WRONG, ENDS),
    "replaces builtins": ("import builtins\nbuiltins.isinstance = lambda *a: True\n" + WRONG, ""),
    "generator exit": ("def relu_backward(gy, x): raise GeneratorExit", "GeneratorExit"),
    "interrupts": ("raise KeyboardInterrupt", "does not run: line 1, `raise KeyboardInterrupt`"),
    "base exception": ("class Quiet(BaseException):\n    def __str__(self): raise self\n"
                       "def relu_backward(gy, x): raise Quiet", ""),
    "recursion": ("def relu_backward(gy, x): return relu_backward(gy, x)", "RecursionError"),
    "aborts": ("import os; os.abort()", ENDS),
    "segfault": ("import ctypes; ctypes.string_at(0)", ENDS),
    "kills itself": ("import signal; signal.raise_signal(signal.SIGTERM)", ENDS),
    "kills its parent": ("import os, signal; os.kill(os.getppid(), signal.SIGTERM)", NO_PROGRAMS),
    "closes all files": ("import os; os.closerange(0, 64)\n" + RIGHT, ENDS),
    "garbage": (into_every_file("os.urandom(9999)"), ENDS),
    "a cut record": (into_every_file("npy(np.zeros(0, np.uint8), gy * (x > 0))[:-3]"), ENDS),
    "own records": (into_every_file("npy(np.zeros(0, np.uint8), gy * 0) * 20"), "should be -30"),
    "own text": (into_every_file(f"npy(np.frombuffer(b'exception\\n\\n{FORGED}\\x1b', np.uint8))"),
                 rf"Your function stops: \n{FORGED}\x1b"),
    "unknown text": (into_every_file(f"npy(np.frombuffer(b'{FORGED}', np.uint8))"), ENDS),
    "a huge header": (into_every_file("npy(np.zeros(10**7 // 10**6, bool)).replace(b'(10,), }' + "
                                      "b' ' * 12, b'(10000000000000,), }')"), ENDS),
    "a pickle": (into_every_file("npy(np.array([print], object))"), ENDS),
    "objects": ("import numpy as np\ndef relu_backward(gy, x): return np.array([{}] * 4)",
                "gx shall be an array of numbers, got ndarray (object)"),
    "complex": ("def relu_backward(gy, x): return gy * 1j", "got ndarray (complex128)"),
    "a generator": ("def relu_backward(gy, x): yield gy", "got generator (object)"),
    "a giant": ("import numpy as np\n"
                "def relu_backward(gy, x): return np.broadcast_to(0., (9**9, 9))",
                "gx has shape (387420489, 9), more numbers than are read"),
    "another shape": ("def relu_backward(gy, x): return gy[None]", "must have shape (4,)"),
    "equal to everything": ("import numpy as np\nclass Liar(np.ndarray):\n"
                            "    def __eq__(self, other): return np.True_\n"
                            "    __array_priority__, __sub__ = 99, lambda self, other: 0\n"
                            "def relu_backward(gy, x): return gy.view(Liar)", "gx[0] is 10"),
    "nan": ("def relu_backward(gy, x): return gy * float('nan')", "gx[0] is nan"),
    "nan later": ("n = []\ndef relu_backward(gy, x):\n    n.append(0)\n"
                  "    return gy * (x > 0) * (1 if len(n) < 5 else float('nan'))",
                  "a check beside them fails"),
    "longer than a double": ("import numpy as np\n"
                             "def relu_backward(gy, x): return gy.astype(np.longdouble) * 2", "20"),
    "no memory": ("x = [0] * 10**12\n" + RIGHT, "MemoryError"),
    "a process": ("import subprocess, sys; subprocess.run([sys.executable, '-V'])", NO_PROGRAMS),
    "a shell": ("import os; os.system('true')", NO_PROGRAMS),
    "writes to the judge's terminal": (
        f"import os\nopen(f'/proc/{{os.getppid()}}/fd/1', 'w').write({FORGED!r})",
        "PermissionError: a solution may not write files"),
    "reads standard input": ("def relu_backward(gy, x): return input()", "EOFError"),
    "not UTF-8": (b"# \xe9\xff\n" + WRONG.encode(), "gx[0] is 10"),
    "bad UTF-8": (b"# a\n# b\nx = '\xe9\xff'\n" + WRONG.encode(), "SyntaxError: (unicode error)"),
    "a null byte": (WRONG.encode() + b"\0", "null bytes"),
    "parentheses": ("x = " + "(" * 9999, "SyntaxError: too many nested parentheses"),
    "import": ("import minidl", NOTHING_OF_MINIDL),
    "import from": ("from minidl import functional as F", NOTHING_OF_MINIDL),
    "importlib": (f"import importlib, sys\nsys.path.insert(0, {str(PACKAGE.parent)!r})\n"
                  "importlib.import_module('minidl.functional')", NOTHING_OF_MINIDL),
    "from inside": (f"import sys\nsys.path.insert(0, {str(PACKAGE)!r})\nimport formulas",
                    NOTHING_OF_MINIDL),
    "by its file": (f"import runpy; runpy.run_path({str(PACKAGE / 'formulas.py')!r})",
                    NOTHING_OF_MINIDL),
    "by its text": (f"exec(open({str(PACKAGE / 'formulas.py')!r}).read())", NOTHING_OF_MINIDL),
    **{f"by {name}": (f"""
import os
{opened}
os.chdir("/")
text = b""
file = os.open("{path}", os.O_RDONLY, dir_fd=top)
while part := os.read(file, 1 << 16):
    text += part
exec(text)
relu_backward = lambda gy, x: gy * (relu(x) > 0)
""", said) for name, opened, path, said in (
        ("a folder above it", f"top = os.open({str(PACKAGE.parent)!r}, os.O_RDONLY)",
         "minidl/formulas.py", NO_FOLDERS),
        ("its folder", f"top = os.open({str(PACKAGE)!r}, os.O_RDONLY)", "formulas.py",
         NOTHING_OF_MINIDL),
        ("the root", "top = os.open('/', os.O_RDONLY)", f"{PACKAGE}/formulas.py"[1:], NO_FOLDERS),
        ("a folder beside it", "top = os.open(os.path.dirname(os.__file__), os.O_RDONLY)",
         "../" * 20 + f"{PACKAGE}/formulas.py"[1:], NO_FOLDERS),
        ("the working folder", "top = os.open('.', os.O_RDONLY)",
         f"{PACKAGE}/formulas.py", NO_FOLDERS),
        ("a folder that is listed", f"top = os.listdir({str(PACKAGE.parent)!r}) and 3\n"
         f"listed = os.scandir({str(PACKAGE.parent)!r})", "minidl/formulas.py", NO_FOLDERS))},
}
HANGS = {
    "a loop": "def relu_backward(gy, x):\n    while True: pass",
    "a loop in the file": "while True: pass",
    "a loop in C": "7**10**9",
    "sleep": "import time; time.sleep(1e6)",
    "deaf": "import signal, time\nfor number in (signal.SIGTERM, signal.SIGINT):\n"
            "    signal.signal(number, signal.SIG_IGN)\nwhile True: time.sleep(1)",
    "swallows all": "while True:\n    try: relu_backward = [0] * 10**12\n"
                    "    except BaseException: pass",
    "floods": f"while True: print({FORGED!r})",
    "floods a line": "while True:\n    try: print('x' * 9999, end='')\n    except OSError: pass",
    "at the end": f"import os, time\nos._exit = lambda status: time.sleep(1e6)\n{RIGHT}",
}


def command(tmp_path, capsys, source: str | bytes, *options: str) -> tuple[int, str, str]:
    """Status, standard output and standard error of the command on a file with this source."""
    path = tmp_path / "mine.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    status = cli.main(["exercise", "relu_backward", str(path), *options])
    return status, *capsys.readouterr()


def cannot_be_taken_for_right(status: int, out: str, err: str) -> None:
    assert status == 1
    assert out.startswith("relu_backward: not right yet")
    assert not re.search("^(?!  )relu_backward: right|^Traceback", out, re.MULTILINE)
    assert len(out) < 5000 and len(err) < 50_000
    assert all(line.startswith("  | ") for line in err.splitlines())
    assert all(c.isprintable() or c == "\n" for c in out + err)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_fails(tmp_path, capsys, name):
    source, text = BAD[name]
    status, out, err = command(tmp_path, capsys, source)
    cannot_be_taken_for_right(status, out, err)
    assert text in out, out
    assert "There is no answer after" not in out


@pytest.mark.parametrize("name", HANGS)
def test_a_file_that_hangs_fails_in_time(tmp_path, capsys, name):
    began = time.monotonic()
    status, out, err = command(tmp_path, capsys, HANGS[name], "--timeout", "0.5")
    assert time.monotonic() - began < 5
    cannot_be_taken_for_right(status, out, err)
    assert "There is no answer after 0.5 s" in out


def test_a_right_file_passes_whatever_is_in_it(tmp_path, capsys):
    status, out, err = command(tmp_path, capsys, """\ufeff# what some editors write first\r
from __future__ import annotations
import atexit, os, threading, time, warnings
import decimal, itertools, statistics, numpy.linalg, numpy.random
from dataclasses import dataclass
threading.Thread(target=time.sleep, args=(1e6,)).start()
atexit.register(time.sleep, 1e6)
warnings.warn("careful")
print("loading", file=open(os.devnull, "w"))
print("\u03c3" * 99_999)
@dataclass
class Slope:
    x: numpy.ndarray
    def __call__(self, gy): return gy * (self.x > 0)
def relu_backward(gy, x): return Slope(x)(gy)
""")
    assert (status, out.splitlines()[0]) == (0, FORGED)
    assert all(line.startswith("  | ") for line in err.splitlines())


def test_numbers_of_any_make_are_taken(tmp_path, capsys):
    made = ["np.asfortranarray({})", "({}).tolist()", "({}).astype('>f8')", "np.longdouble({})",
            "({})[..., ::-1].copy()[..., ::-1]", "np.ma.masked_array({})", "({}).view(np.memmap)"]
    source = "import numpy as np\nn = []\ndef relu_backward(gy, x):\n    n.append(0)\n" + "".join(
        f"    if len(n) == {k}: return {text.format('gy * (x > 0)')}\n"
        for k, text in enumerate(made + ["{}"], 1))
    assert command(tmp_path, capsys, source)[0] == 0


@settings(max_examples=60)
@given(st.data())
def test_damaged_answers_are_wrong_or_missing(data):
    """Bytes changed, cut out and put in anywhere in what a right file answers: no error, and right
    only where the numbers are."""
    exercise, path = EXERCISES["softmax_ce"], Path(__file__).parent / "solutions" / "softmax_ce.py"

    def damaged(task, timeout, most):
        with tempfile.TemporaryFile() as file:
            child.answer(task, file)
            whole = list(process.npy_records(file))
            file.seek(0)
            made = bytearray(file.read())
            for _ in range(data.draw(st.integers(1, 3))):
                at = data.draw(st.integers(0, len(made)))
                made[at:at + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
            file.seek(0)
            file.truncate()
            file.write(made)
            found = list(process.npy_records(file))
        same.append(len(found) >= len(whole) and all(
            a.shape == b.shape and np.allclose(a, b, 1e-6) for a, b in zip(whole, found)))
        return found[:most], None
    same: list[bool] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "run_solution", damaged)
        verdict = judge(exercise, path, seed=0)
    assert not verdict.passed or same[0]
    assert verdict.text() and verdict.json()


# --------------------------------------------------------------------------- what the child has
@pytest.mark.parametrize("name", EXERCISES)
def test_the_process_has_inputs_alone(name, monkeypatch):
    exercise, answer, tasks = EXERCISES[name], Exercise.answer, []

    def watched(task, timeout, most):
        assert set(task) == {"path", "source", "function", "parameters", "outputs", "calls"}
        tasks.append(json.loads(json.dumps(task)))
        return [np.zeros(0, np.uint8)], None

    def late(self, case):
        assert tasks, "what is right is computed when the process is dead"
        return answer(self, case)
    monkeypatch.setattr(process, "run_solution", watched)
    monkeypatch.setattr(Exercise, "answer", late)
    assert judge(exercise, Path(__file__)).problem == "ended"
    sent, right, outputs = [], [], []
    for call in tasks[0]["calls"]:
        arguments = [child._received(value, outputs) for value in call]
        assert len(arguments) == len(exercise.parameters)
        sent.append([made for made, value in zip(arguments, call)
                     if isinstance(value, dict) and "values" in value])
        right.append(outputs := _answers(exercise, arguments))
    # No answer stands in another call: five steps of an optimiser hand on what the file made.
    for i, answers in enumerate(right):
        for e in answers:
            same = [j for j, values in enumerate(sent) for value in values
                    if e.size > 2 and e.any() and np.array_equal(value, e)]
            assert not same or i in same, (name, i, same)


def _answers(exercise, call) -> list[np.ndarray]:
    """What is right for a call, where the library needs no more than its arguments."""
    with contextlib.suppress(AttributeError):
        return exercise.answer(dict(zip(exercise.parameters, call)))
    return []


def test_the_process_is_given_nothing_by_other_ways(tmp_path, capsys):
    _, _, err = command(tmp_path, capsys, "import os, sys\n"
                        "print(sys.argv[1:], [sys.stdin.read()], set(os.environ))")
    assert err.startswith("  | [] [''] {")
    assert set(re.findall(r"'(\w+)'", err)) - set(os.environ) <= {
        "PYTHONIOENCODING", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
        "LC_CTYPE"}


def test_answers_learnt_by_heart_fail(tmp_path):
    path, exercise = tmp_path / "mine.py", EXERCISES["relu_backward"]
    path.write_text(RIGHT)
    assert judge(exercise, path, seed=7).seed == 7
    table = {case["gy"].tobytes(): exercise.answer(case)[0].tolist()
             for _, case in exercise.cases(np.random.default_rng(7))}
    path.write_text(f"TABLE = {table}\ndef relu_backward(gy, x):\n"
                    "    return TABLE.get(gy.tobytes(), gy * 0)")
    assert judge(exercise, path, seed=7).cases_right == 4
    assert judge(exercise, path, seed=8).cases_right == 1      # the one by hand
    fresh, again = judge(exercise, path), judge(exercise, path)
    assert not fresh.passed and fresh.seed != again.seed


# --------------------------------------------------------------------------- ends and bounds
@POSIX
@pytest.mark.parametrize("escape", ["", "os.setsid(); "])
def test_what_a_file_leaves_behind_hangs_nobody(tmp_path, capsys, escape):
    began = time.monotonic()
    status, out, _ = command(tmp_path, capsys, "import ctypes, os, time\n"
                             f"if ctypes.CDLL(None).fork() == 0:\n    {escape}time.sleep(7)\n"
                             "    os._exit(0)\n" + RIGHT)
    assert status == 0 and time.monotonic() - began < 6


@POSIX
def test_what_a_file_starts_is_killed_with_it(tmp_path, capsys):
    _, _, err = command(tmp_path, capsys, "import ctypes, time\n"
                        "pid = ctypes.CDLL(None).fork()\n"
                        "if pid:\n    print('pid', pid)\nwhile True: time.sleep(1)",
                        "--timeout", "1.5")
    pid = int(re.search(r"pid (\d+)", err)[1])
    for _ in range(500):                               # until init has buried it
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    pytest.fail(f"process {pid} lives on")


@POSIX
@pytest.mark.slow
def test_a_file_outlives_a_killed_judge_by_seconds():
    task = {"path": "mine.py", "source": "while True: pass", "timeout": 0.1,
            "function": "f", "parameters": ["x"], "outputs": ["y"], "calls": []}
    alone = subprocess.run([sys.executable, child.__file__], input=json.dumps(task).encode(),
                           stdout=subprocess.DEVNULL, timeout=60)
    assert alone.returncode < 0


def test_ctrl_c_ends_the_file_too(tmp_path, monkeypatch, capsys):
    started, popen = [], subprocess.Popen

    def stop(seconds):
        raise KeyboardInterrupt
    monkeypatch.setattr(process.subprocess, "Popen",
                        lambda *a, **k: started.append(popen(*a, **k)) or started[0])
    monkeypatch.setattr(process.time, "sleep", stop)
    assert command(tmp_path, capsys, "while True: pass")[0] == 130
    assert started[0].returncode is not None


@LINUX
def test_memory_is_limited(tmp_path, capsys):
    _, out, _ = command(tmp_path, capsys, "import numpy as np\nx = np.empty(1 << 28)\n" + RIGHT)
    assert "Unable to allocate 2.00 GiB" in out


def test_prints_are_bounded_and_set_off(tmp_path, capsys):
    status, out, err = command(tmp_path, capsys, f"print('{FORGED}\\n' * 99_999)\n{WRONG}")
    assert status == 1 and len(err) < 2 * process.MOST_PRINTED
    assert err.startswith(f"  | {FORGED}\n") and "bytes in all)\n" in err[-40:]


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e9, True, "5", None])
def test_a_timeout_that_is_none_is_refused(tmp_path, timeout):
    path = tmp_path / "mine.py"
    path.write_text(RIGHT)
    wrong = ValueError if type(timeout) in (int, float) else TypeError
    with pytest.raises(wrong, match="exercise: timeout must be (a number|at least 0)"):
        judge(EXERCISES["relu_backward"], path, timeout)


def test_files_that_are_none_are_refused(tmp_path, capsys):
    paths = [tmp_path, tmp_path / "none.py", tmp_path / "big.py", tmp_path / "pipe.py"]
    paths[2].write_bytes(b"#" * 1_000_001)
    if hasattr(os, "mkfifo"):
        os.mkfifo(paths[3])
    for path in paths:
        assert cli.main(["exercise", "relu_backward", str(path)]) == 2
        assert re.match("minidl: exercise: (there is no file|.*more than 1,000,000 bytes|.*: a "
                        "(folder|named pipe), where a regular file should be)",
                        capsys.readouterr().err)


def test_the_command_line_itself(tmp_path):
    """The words of the verdict and the exit status, as a grader sees them."""
    path = tmp_path / "mine.py"
    path.write_text(f"import os\nprint({FORGED!r}, flush=True)\nos._exit(0)")
    done = subprocess.run([sys.executable, "-m", "minidl", "exercise", "relu_backward", str(path),
                           "--json", "--timeout", "20", "--seed", "3"], capture_output=True,
                          text=True, cwd=PACKAGE.parent)
    found = json.loads(done.stdout)
    assert done.returncode == 1 and found["passed"] is False and found["problem"] == "ended"
    assert found["seed"] == 3 and done.stderr == f"  | {FORGED}\n"
