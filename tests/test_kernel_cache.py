"""Machine code that is kept: damage is a miss, and what others can write to is never read."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl

pytest.importorskip("numba")
from minidl.kernels.cpu import jit, kept
from minidl.watch import Watcher, Watching

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX's")
pytestmark = pytest.mark.skipif(not jit.JIT, reason="NUMBA_DISABLE_JIT=1 compiles nothing")
root = os.name == "posix" and os.geteuid() == 0
NOBODY = 65534


def double(x):
    return 2 * x


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A new cache folder, used from here on; the value is the folder of the machine code."""
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    found, reason = kept._open_folder()
    if found is None:
        pytest.skip(f"no private folder for the tests: {reason}")
    monkeypatch.setattr(kept, "folder", found)
    yield found
    for path in (tmp_path / "cache").rglob("*"):         # pytest clears away what it may open
        if not path.is_symlink():
            path.chmod(0o700)


class Compiled(Watcher):
    """Notes the names of the kernels that are compiled."""

    def __init__(self, names):
        self.names = names

    def compiling(self, kernel):
        self.names.append(kernel)


@pytest.fixture
def compiled():
    """The names of what was compiled."""
    names: list[str] = []
    with Watching(Compiled(names)):
        yield names


def call(number=21):
    """What a newly loaded `double` gives: compiled, or from the cache."""
    return jit.compiled(double)(number)


def entry() -> Path:
    (path,) = kept.folder.glob("*.nbi")
    return path


# --------------------------------------------------------------------------- damage
def _flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _other_entry(path):
    """The whole entry of other argument types."""
    call(1.5)
    (other,) = set(path.parent.glob("*.nbi")) - {path}
    other.replace(path)


def _replaced_by(make):
    def damage(path):
        path.unlink()
        make(path)
    damage.__name__ = make.__name__.strip("_")
    return damage


def folder(path):
    path.mkdir()


def full_folder(path):
    path.mkdir()
    (path / "more").write_text("")


def fifo(path):
    os.mkfifo(path)


def device(path):
    path.symlink_to("/dev/zero")


def dangling(path):
    path.symlink_to("nowhere")


def itself(path):
    path.symlink_to(path)


def listener(path):
    before = os.getcwd()
    os.chdir(path.parent)                                # its path may have 100 letters at most
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(before)


def huge(path):
    """A terabyte, no block of which is on the disk."""
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _emptied(path):
    path.write_bytes(b"")


def _unreadable(path):
    path.chmod(0)


def _longer(path):
    path.write_bytes(path.read_bytes() + b"\0")


def _open_to_others(path):
    path.chmod(0o666)


def _open_to_the_group(path):
    path.chmod(0o660)


def _somebody_elses(path):
    os.chown(path, NOBODY, -1)


DAMAGES = [_flip, _other_entry, _cut, _emptied, _longer, _replaced_by(folder),
           _replaced_by(full_folder)]
ON_POSIX = [_open_to_others, _open_to_the_group, *map(
    _replaced_by, (fifo, device, dangling, itself, listener, huge))]
ON_POSIX += [_somebody_elses] if root else [_unreadable]


@pytest.mark.parametrize("damage", DAMAGES + ON_POSIX * (os.name == "posix"),
                         ids=lambda damage: damage.__name__.strip("_"))
def test_what_cannot_be_read_is_compiled_and_written_anew(cache, compiled, damage):
    assert call() == 42 and call() == 42 and compiled == ["double"]
    path = entry()
    damage(path)
    compiled.clear()
    assert call() == 42 and compiled == ["double"]
    assert call() == 42 and compiled == ["double"]       # once more: from the cache
    assert path.is_file() and not path.is_symlink() and kept._read(path)
    assert not list(cache.glob("*.tmp"))


@given(data=st.data())
def test_no_damaged_entry_reaches_the_unpickler(tmp_path_factory, data):
    """Bytes changed, lost, added, repeated, at any place: the checksum finds all of them."""
    path = tmp_path_factory.getbasetemp() / "double-0.nbi"
    contents = data.draw(st.binary(max_size=200))
    kept._write(path, contents)
    assert kept._read(path) == contents
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, len(whole)))
    new = data.draw(st.binary(max_size=40))
    damaged = whole[:at] + new + whole[at + length:]
    path.write_bytes(damaged)
    assert kept._read(path) == (contents if damaged == whole else None)


def test_what_a_killed_writer_left_is_swept(cache):
    names = ("old.tmp", "new.tmp", "old.nbi")
    for name in names:
        (cache / name).write_bytes(b"half")
        if name.startswith("old"):
            os.utime(cache / name, (1, 1))
    assert kept._open_folder() == (cache, None)
    assert {path.name for path in cache.iterdir()} == {"new.tmp", "old.nbi"}   # one writes now


def test_whole_but_of_another_numba(cache, compiled):
    """Verified, unpickled, and yet not what this Numba rebuilds a function from: a miss."""
    call()
    path = entry()
    for contents in (b"", b"no pickle", kept.dumps(("too", "short"))):
        kept._write(path, contents)
        compiled.clear()
        assert call() == 42 and call() == 42 and compiled == ["double"]


@posix
@pytest.mark.parametrize("bytes_left", [0, 100, 5_000])
def test_a_full_disk(cache, compiled, bytes_left):
    """Writing ends in the middle (here at a limit on the size of files): nothing half is left."""
    import resource
    import signal
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, limits[1]))
    try:
        assert call() == 42 and call() == 42
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert compiled == ["double", "double"] and not list(cache.iterdir())
    assert call() == 42 and call() == 42 and len(compiled) == 3


def test_a_folder_that_vanished(cache, compiled):
    call()
    shutil.rmtree(cache)
    assert call() == 42 and call() == 42 and len(compiled) == 3


@posix
@pytest.mark.skipif(root, reason="root writes anywhere")
def test_a_read_only_folder_is_read(cache, compiled):
    call()
    cache.chmod(0o500)
    assert call() == 42 and call(1.5) == 3.0 and call(1.5) == 3.0
    assert compiled == ["double"] * 3 and len(list(cache.iterdir())) == 1
    assert not kept.nothing_kept()


# --------------------------------------------------------------------------- what an entry is for
class OtherMachine:
    """Of Numba's code generator what says for which machine it makes code."""

    def __init__(self, *description):
        self.magic_tuple = lambda: description


def test_another_machine_another_entry(cache, monkeypatch):
    """Machine, processor, its features, types, function, Numba's settings: each has its own file.
    A home folder may be shared by machines with AVX-512 and without."""
    import numba
    one = kept.KeptCode(double)
    machines = [("linux", "znver4", "+avx2,+avx512f"), ("linux", "znver4", "+avx2,-avx512f"),
                ("linux", "haswell", "+avx2,+avx512f"), ("darwin", "znver4", "+avx2,+avx512f")]
    paths = [one._path((numba.float32,), OtherMachine(*machine)) for machine in machines]
    paths.append(one._path((numba.float64,), OtherMachine(*machines[0])))
    paths.append(kept.KeptCode(call)._path((numba.float32,), OtherMachine(*machines[0])))
    monkeypatch.setattr(numba.config, "BOUNDSCHECK", 1)
    paths.append(one._path((numba.float32,), OtherMachine(*machines[0])))
    assert len(set(paths)) == len(paths)


def test_another_source_another_folder(monkeypatch):
    import numba
    assert kept._sources() == kept.STAMP
    monkeypatch.setattr(numba, "__version__", "0.1")
    assert kept._sources() != kept.STAMP


def test_the_machine_at_hand_is_in_the_key(cache):
    """Numba tells the processor that it is made to compile for."""
    from numba.core.registry import cpu_target
    triple, name, features = cpu_target.target_context.codegen().magic_tuple()
    assert triple and name
    assert os.environ.get("NUMBA_CPU_FEATURES", features) == features


# --------------------------------------------------------------------------- who may write
@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_folder_that_others_may_write_to_is_not_used(cache, level, mode):
    """The folder of the machine code, `kernels`, the cache folder."""
    place = [cache, *cache.parents][level]
    place.chmod(mode)
    found, reason = kept._open_folder()
    assert found is None
    assert f"{place} is not yours alone, others may write to it (chmod go-w {place})" in reason
    assert "MINIDL_CACHE" in reason
    place.chmod(0o755)                                   # what is advised
    assert kept._open_folder() == (cache, None)


@posix
def test_folders_above(tmp_path, monkeypatch):
    """A group may write to a home folder; everybody only where it is sticky, as in /tmp."""
    above = tmp_path / "above"
    above.mkdir()
    for place in (above, above / "cache"):
        monkeypatch.setenv("MINIDL_CACHE", str(place))
        for mode, used in ((0o770, place != above), (0o777, False), (0o1777, True)):
            above.chmod(mode)
            assert (kept._open_folder()[0] is not None) == used, (place, mode)
    above.chmod(0o700)


@posix
@pytest.mark.skipif(not root, reason="only root gives folders away")
@pytest.mark.parametrize("level", [0, 1, 2])
def test_somebody_elses_folder_is_not_used(cache, level):
    place = [cache, *cache.parents][level]
    os.chown(place, NOBODY, -1)
    found, reason = kept._open_folder()
    assert found is None and f"{place} is not yours alone, it belongs to user {NOBODY}" in reason


@posix
@pytest.mark.parametrize("name", ["", "kernels"])
def test_links_are_followed_and_judged_by_where_they_lead(tmp_path, monkeypatch, name):
    real = tmp_path / "elsewhere" / "real"
    real.mkdir(parents=True)
    (tmp_path / "cache").mkdir()
    link = tmp_path / "cache" / name if name else tmp_path / "link"
    link.symlink_to(real)
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache" if name else link))
    assert kept._open_folder()[0] is not None            # a disk of our own, say
    real.parent.chmod(0o777)                             # others may put a folder there
    assert kept._open_folder()[0] is None
    real.parent.chmod(0o700)
    real.chmod(0o777)
    assert kept._open_folder()[0] is None


@posix
@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077])
def test_folders_and_files_are_made_for_this_user_alone(tmp_path, monkeypatch, umask):
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "new" / "cache"))
    before = os.umask(umask)
    try:
        found, reason = kept._open_folder()
        kept._write(found / "double-0.nbi", b"1")
    finally:
        os.umask(before)
    made = [found / "double-0.nbi", found, *found.parents[:3]]
    assert reason is None and made[-1] == tmp_path / "new"
    assert [path.stat().st_mode & 0o777 for path in made] == [0o600] + [0o700] * 4


def test_unpacked_data_leaves_the_folder_fit_for_kernels(tmp_path, monkeypatch):
    """The data set is unpacked into the same cache folder, and often first."""
    from minidl import data
    monkeypatch.setenv("MINIDL_CACHE", str(tmp_path / "cache"))
    before = os.umask(0o002)
    try:
        data.mnist()
    finally:
        os.umask(before)
    assert (tmp_path / "cache" / "mnist").is_dir() and kept._open_folder()[0] is not None


# --------------------------------------------------------------------------- whole processes
def start(code: str, cache: Path, **environment) -> subprocess.Popen:
    """A new Python; warnings are errors there too."""
    root = str(Path(minidl.__file__).parent.parent)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root, "MINIDL_NUM_THREADS": "1",
                                     "MINIDL_CACHE": str(cache), **environment})


def ended(process: subprocess.Popen) -> str:
    """What it printed: all went well, and without a word of trouble."""
    out, problems = process.communicate(timeout=300)
    assert process.returncode == 0 and not problems, problems[-3000:]
    return out


RELU = """
import warnings, minidl
from minidl.watch import Watcher, Watching
compiled = []
class Compiled(Watcher):
    def compiling(self, kernel):
        compiled.append(kernel)
Watching(Compiled()).__enter__()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        y = minidl.rand(10000).relu()
print("_relu_loop" in compiled, (y >= 0).all().item(), *[w.message for w in caught])
"""


def test_the_cache_is_used(tmp_path):
    assert ended(start(RELU, tmp_path)) == "True True\n"
    assert ended(start(RELU, tmp_path)) == "False True\n"
    assert list(tmp_path.glob("kernels/*/*.nbi"))


def test_where_nothing_can_be_written(tmp_path):
    """No cache: compiled in every process, and nothing lands in the package's own folder."""
    (tmp_path / "file").write_text("")
    package = Path(minidl.__file__).parent
    before = {p for p in package.rglob("*") if "__pycache__" not in p.parts}
    assert ended(start(RELU, tmp_path / "file" / "cache")) == "True True\n"
    assert {p for p in package.rglob("*") if "__pycache__" not in p.parts} == before
    assert not list(package.rglob("*.nbi"))


@posix
def test_a_refused_folder_is_said_once(tmp_path):
    """Compiled, not kept; a planted file is not opened."""
    tmp_path.chmod(0o777)
    out = ended(start(RELU, tmp_path))
    tmp_path.chmod(0o700)
    assert out.startswith("True True compiled kernels are not kept") and out.count("not kept") == 1
    assert f"chmod go-w {tmp_path}" in out and not list(tmp_path.rglob("*.nbi"))


STEP = """
import hashlib, numpy as np, minidl, minidl.functional as F
from minidl.watch import Watcher, Watching
compiled, found = [], hashlib.sha256()
class Compiled(Watcher):
    def compiling(self, kernel):
        compiled.append(kernel)
Watching(Compiled()).__enter__()
rng = np.random.default_rng(0)
for dtype in (np.float32, np.float64):
    x, w = (minidl.tensor(rng.normal(size=shape).astype(dtype), requires_grad=True)
            for shape in ((8, 3, 20, 20), (16, 3, 3, 3)))
    y = F.max_pool2d(F.relu(F.conv2d(x, w, padding=1)), 2)
    (y * y).sum().backward()
    for a in (y.numpy(), x.grad.numpy(), w.grad.numpy()):
        found.update(np.ascontiguousarray(a))
print(found.hexdigest(), len(compiled))
"""


@pytest.mark.slow
def test_several_processes_compile_at_once(tmp_path):
    """They and what they start in the background (warm.py) leave whole entries, and one each."""
    results = {ended(process).split()[0] for process in [
        start(STEP, tmp_path, MINIDL_NUM_THREADS="2") for _ in range(3)]}
    assert len(results) == 1
    assert ended(start(STEP, tmp_path)) == f"{results.pop()} 0\n"


FIRST_STEP = """
import numpy as np, minidl
from minidl.models import MODELS
from minidl.training import ClassifierSteps
recipe = MODELS["cnn"]
model = recipe.build()
step = ClassifierSteps(model, recipe.optimizer(model.parameters(), recipe.lr)).step
step(minidl.rand(128, 1, 28, 28), minidl.tensor(np.arange(128) % 10))
"""


@pytest.mark.slow
def test_all_that_the_first_step_of_a_cnn_needs_is_compiled_ahead(tmp_path):
    """But what only workers need: on one thread there are none."""
    ended(start("from minidl.kernels.cpu import warm; warm.compile_all()", tmp_path))
    ahead = set(tmp_path.rglob("*.nbi"))
    ended(start(FIRST_STEP, tmp_path))
    assert len(ahead) >= 10 and set(tmp_path.rglob("*.nbi")) == ahead


def test_several_threads_compile_at_once(cache):
    kernel, results = jit.compiled(double), []
    threads = [threading.Thread(target=lambda i=i: results.append(kernel(i))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(results) == [0, 2, 4, 6] and call() == 42 and entry()


@pytest.mark.hunt
def test_random_damage_of_a_warm_cache(tmp_path, rounds):
    """One to all files damaged at random: the same numbers, and not a word."""
    warm = tmp_path / "warm"
    expected = ended(start(STEP, warm)).split()[0]
    kinds = [damage for damage in DAMAGES + ON_POSIX * (os.name == "posix")
             if damage is not _other_entry]
    for seed in range(rounds(4, 60)):
        rng = np.random.default_rng(seed)
        spoiled = tmp_path / "spoiled"
        shutil.copytree(warm, spoiled, ignore=shutil.ignore_patterns("*.tmp"))
        files = sorted(spoiled.glob("kernels/*/*.nbi"))
        chosen = rng.permutation(len(files))[:rng.choice([1, 2, 3, len(files)], p=[.5, .2, .2, .1])]
        for i in chosen:
            kinds[rng.integers(len(kinds))](files[i])
        assert ended(start(STEP, spoiled)).split()[0] == expected, seed
        shutil.rmtree(spoiled)
