"""kernels.cu without a GPU: run on the CPU by g++, and compiled by CuPy's compiler for real GPUs.

First tests of the tests: cuda_on_cpu.py gives right results for kernels of its own and catches what
it promises to catch. What the kernels of the library compute is tested in test_cuda_kernels.py;
here every barrier of theirs is taken out once, and that must be seen.
"""

from __future__ import annotations

import io
import re
import warnings

import cuda_on_cpu
import numpy as np
import pytest
from cuda_on_cpu import CompileError, LaunchError, RawModule, backward_order, guarded

from minidl.kernels.gpu import launch, twins

needs_compiler = pytest.mark.skipif(cuda_on_cpu.problem() is not None,
                                    reason=str(cuda_on_cpu.problem()))
REALS = {"float": np.dtype(np.float32), "double": np.dtype(np.float64)}

SMALL = """
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
typedef unsigned long long word;
struct Pair { int count; double* y; };

extern "C" __global__ void scale(const REAL* __restrict__ x, REAL* y, REAL factor, int count) {
    int i = INDEX;                                       // a comment with (, ) and __syncthreads();
    if (i < count) y[i] = factor * x[i];
}
extern "C" __global__ void of_each_type(bool* a, unsigned char* b, const long long* c, word* d,
                                        double e, unsigned f, Pair pair) {}
extern "C" __global__ void numbered(Pair pair, word offset) {
    int i = INDEX;
    if (i < pair.count) pair.y[i] = 1000 * gridDim.x + 100 * blockIdx.x + threadIdx.x + offset;
}
extern "C" __global__ void high_word(word a, word b, word* y) { *y = __umul64hi(a, b); }
extern "C" __global__ void last_writer(int* y) { *y = INDEX; }
extern "C" __global__ void write(REAL* y, int place) { y[place] = 1; }
extern "C" __global__ void read(const REAL* x, REAL* y, int place) { *y = x[place]; }
extern "C" __global__ void add(REAL* x, const REAL* y) { x[INDEX] += y[INDEX]; }

extern "C" __global__ void left_in_shared_memory(REAL* y) {
    __shared__ REAL kept[2];
    y[blockIdx.x] = kept[1];
    kept[1] = 5;
}
extern "C" __global__ void some_leave(int leaving, int in_block) {
    if (blockIdx.x == in_block && threadIdx.x < leaving) return;
    __syncthreads();
}
extern "C" __global__ void two_barriers(int apart) {
    if (threadIdx.x < apart) {
        __syncthreads();
    } else {
        __syncthreads();
    }
}
extern "C" __global__ void some_blocks_need_none(int* y) {
    __shared__ int first;
    if (blockIdx.x % 2) return;
    if (threadIdx.x == 0) first = blockIdx.x;
    __syncthreads();
    y[INDEX] = first;
}
extern "C" __global__ void local_array(REAL* y, int place) {
    REAL four[4] = {0, 1, 2, 3};
    *y = four[place];
}
extern "C" __global__ void shared_array(REAL* y, int place) {
    __shared__ REAL four[4];
    four[place] = 1;
    *y = four[0];
}
extern "C" __global__ void divide(int* y, int divisor) { *y /= divisor; }
"""

# Sums of 64 numbers each, several by the same block one after the other: so that a barrier is
# needed for each reason there is.
SUMS = """
extern "C" __global__ void sums(const REAL* x, REAL* total, int count) {
    __shared__ REAL part[64];
    int t = threadIdx.x;
    for (int k = blockIdx.x; k < count; k += gridDim.x) {
        part[t] = x[64 * k + t];
        __syncthreads();
        for (int half = 32; half > 0; half /= 2) {
            if (t < half) part[t] += part[t + half];
            __syncthreads();
        }
        if (t == 63) total[k] = part[0];
        __syncthreads();
    }
}
"""


def small(name: str) -> cuda_on_cpu.Kernel:
    return RawModule(SMALL, ("-DREAL=float",)).get_function(name)


def pair(count: int, y: np.ndarray) -> np.ndarray:
    return np.array([(count, y.ctypes.data)], np.dtype([("count", "i4"), ("y", "u8")], align=True))


# --------------------------------------------------------------------------- right results
@needs_compiler
def test_a_kernel_runs_on_every_index():
    x = np.arange(1000, dtype=np.float32)
    y = np.full_like(x, np.nan)
    small("scale")((8,), (128,), (x, y, np.float32(1.5), np.int32(999)))
    assert np.array_equal(y[:999], 1.5 * x[:999]) and np.isnan(y[999])


@needs_compiler
def test_structs_and_the_numbers_of_threads_and_blocks():
    y = np.zeros(10)
    small("numbered")((3,), (4,), (pair(10, y), np.uint64(7)))
    assert np.array_equal(y - 7, [3000, 3001, 3002, 3003, 3100, 3101, 3102, 3103, 3200, 3201])


@needs_compiler
def test_the_high_half_of_a_product():
    a, b, y = 2**64 - 3, 0xD2E7470EE14C6C93, np.zeros(1, np.uint64)
    small("high_word")((1,), (1,), (np.uint64(a), np.uint64(b), y))
    assert int(y[0]) == a * b >> 64


@needs_compiler
def test_types_are_the_compiler_s():
    kernel = small("of_each_type")
    assert kernel.parameters == ["a", "b", "c", "d", "e", "f", "pair"]
    assert kernel.types == ["b1**", "u1**", "i8*", "u8**", "f8", "u4", "V16"]


@needs_compiler
def test_the_order_of_threads_can_be_turned_round():
    y = np.zeros(1, np.int32)
    small("last_writer")((3,), (4,), (y,))
    assert y[0] == 11
    with backward_order():
        small("last_writer")((3,), (4,), (y,))
    assert y[0] == 0


@needs_compiler
def test_shared_memory_is_poisoned_for_each_block():
    y = np.zeros(3, np.float32)
    small("left_in_shared_memory")((3,), (1,), (y,))
    assert np.isnan(y).all()


# --------------------------------------------------------------------------- barriers
def without_a_barrier(source: str) -> list[tuple[str, str]]:
    """(kernel, source without one of its barriers), once for each barrier."""
    found = []
    for barrier in re.finditer(r"__syncthreads\(\);", source):
        kernel = re.findall(r'extern "C" __global__ void (\w+)', source[:barrier.start()])[-1]
        found.append((kernel, source[:barrier.start()] + source[barrier.end():]))
    return found


def both_orders(source: str, real: str, name: str, case, *options: str) -> list[bool]:
    """Is the result right, with the threads in order, and the other way round?"""
    kernel = RawModule(source, (f"-DREAL={real}", *options)).get_function(name)
    right = []
    for order in (guarded, backward_order):
        grid, block, arguments, expected = case(REALS[real])
        with order():
            kernel(grid, block, arguments)
        right.append(all(np.allclose(arguments[k], value) for k, value in expected.items()))
    return right


def case_of_sums(dtype):
    x = np.random.default_rng(0).normal(size=(5, 64)).astype(dtype)
    return (2,), (64,), (x, np.zeros(5, dtype), np.int32(5)), {1: x.sum(1, dtype=float)}


@needs_compiler
@pytest.mark.parametrize("real", REALS)
def test_barriers_hold(real):
    assert both_orders(SUMS, real, "sums", case_of_sums) == [True, True]


@needs_compiler
@pytest.mark.parametrize("k", range(3))
def test_a_missing_barrier_is_seen(k):
    name, source = without_a_barrier(SUMS)[k]
    assert not all(both_orders(source, "float", name, case_of_sums, "-O0"))


@needs_compiler
def test_not_all_threads_at_the_barrier():
    some_leave, two = small("some_leave"), small("two_barriers")
    some_leave((3,), (8,), (np.int32(0), np.int32(1)))
    some_leave((3,), (8,), (np.int32(8), np.int32(1)))               # a whole block may
    message = "some_leave: block 1, thread . waits at the barrier of line .*, others have ended"
    for leaving in (1, 7):
        for order in (guarded, backward_order):
            with pytest.raises(LaunchError, match=message), order():
                some_leave((3,), (8,), (np.int32(leaving), np.int32(1)))
    two((2,), (8,), (np.int32(0),))
    with pytest.raises(LaunchError, match="two_barriers: block 0, .* others at that of line"):
        two((2,), (8,), (np.int32(1),))
    some_leave((3,), (8,), (np.int32(0), np.int32(1)))               # after errors, as before


@needs_compiler
def test_blocks_with_barriers_and_blocks_without():
    y = np.full((4, 1024), -5, np.int32)
    small("some_blocks_need_none")((4,), (1024,), (y,))
    assert np.array_equal(y, np.repeat([[0], [-5], [2], [-5]], 1024, axis=1))


# --------------------------------------------------------------------------- wrong launches
ONES, OUT = np.ones(6, np.float32), np.zeros(6, np.float32)


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


@needs_compiler
@pytest.mark.parametrize("arguments, message", [
    ((ONES, OUT, np.float32(2)), "3 arguments for the 4 parameters x, y, factor, count"),
    ((ONES, OUT, np.float32(2), np.int32(6), np.int32(6)), "5 arguments"),
    ((ONES, OUT, np.float32(2), 6), r"count must be a NumPy scalar of int32, got 6 \(int\)"),
    ((ONES, OUT, 2.0, np.int32(6)), "factor must be a NumPy scalar of float32"),
    ((ONES, OUT, np.float64(2), np.int32(6)), "factor must be a NumPy scalar of float32"),
    ((ONES, OUT, np.float32(2), np.int64(6)), "count must be a NumPy scalar of int32"),
    ((ONES, OUT, ONES[:1], np.int32(6)), "factor must be a NumPy scalar of float32"),
    ((ONES.astype(float), OUT, np.float32(2), np.int32(6)), "x must be of float32, got float64"),
    ((ONES, 5, np.float32(2), np.int32(6)), "y must be an array of float32, got 5"),
    ((ONES, OUT.reshape(2, 3).T, np.float32(2), np.int32(6)), "y, .*, is not C-contiguous"),
    ((ONES[::2], OUT, np.float32(2), np.int32(3)), "x, .*, is not C-contiguous"),
    ((ONES, read_only(OUT), np.float32(2), np.int32(6)), "y is read-only"),
])
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=f"scale: .*{message}"):
        small("scale")((1,), (8,), arguments)
    small("scale")((1,), (8,), (read_only(ONES), OUT, np.float32(2), np.int32(6)))


@needs_compiler
def test_wrong_structs_are_refused():
    y = np.zeros(3)
    packed = np.array([(3, y.ctypes.data)], [("count", "i4"), ("y", "u8")])
    for wrong, message in [(packed, "must have the struct's 16 bytes, got 12"),
                           (np.repeat(pair(3, y), 2), "must be an array of one record"),
                           (y, "must be an array of one record"),
                           (3, "must be an array of one record")]:
        with pytest.raises(TypeError, match=f"numbered: argument pair {message}"):
            small("numbered")((1,), (3,), (wrong, np.uint64(0)))
    assert not y.any()


@needs_compiler
@pytest.mark.parametrize("grid, block, message", [
    ((0,), (8,), "grid must be from 1"), ((1,), (1025,), "block must be from 1 to 1024, got 1025"),
    ((1, 1), (8,), "grid must be a tuple of one number"), (1, (8,), "grid must be a tuple")])
def test_wrong_grids_are_refused(grid, block, message):
    with pytest.raises(ValueError, match=f"scale: {message}"):
        small("scale")(grid, block, (ONES, OUT, np.float32(2), np.int32(6)))


@needs_compiler
def test_more_bytes_than_every_driver_takes_are_refused():
    source = """struct Large { char bytes[4096]; };
                extern "C" __global__ void f(Large a, int n) {}"""
    large = np.zeros(1, [("bytes", "i1", 4096)])
    with pytest.raises(ValueError, match="f: the arguments have more than 4096 bytes"):
        RawModule(source).get_function("f")((1,), (1,), (large, np.int32(1)))


@needs_compiler
def test_what_does_not_compile_or_is_not_there():
    with pytest.raises(CompileError, match="kernels.cu:1:.*wrong"):
        RawModule('extern "C" __global__ void f(int n) { wrong(); }').get_function("f")
    with pytest.raises(KeyError, match="no kernel 'g'.*scale"):
        small("g")


# --------------------------------------------------------------------------- outside of arrays
@needs_compiler
@pytest.mark.parametrize("place, where", [(6, "byte 1 behind it"), (-1, "byte 1 before it"),
                                          (10000, "byte 39977 behind it")])
def test_a_write_outside_is_seen(place, where):
    y = np.zeros(6, np.float32)
    with guarded():
        small("write")((1,), (1,), (y, np.int32(5)))
        with pytest.raises(LaunchError, match=f"write: writes outside y, {where}"):
            small("write")((1,), (1,), (y, np.int32(place)))
    assert np.array_equal(y, [0, 0, 0, 0, 0, 1])


@needs_compiler
def test_a_read_outside_finds_nan():
    with guarded():
        for place, value in [(5, 1), (6, np.nan), (-1, np.nan)]:
            y = np.zeros(1, np.float32)
            small("read")((1,), (1,), (ONES, y, np.int32(place)))
            assert np.array_equal(y, [value], equal_nan=True)


@needs_compiler
def test_arrays_of_structs_can_be_guarded():
    with guarded() as guard:
        y = guard.array("y of the pair", np.zeros(3))
        small("numbered")((1,), (5,), (pair(3, y), np.uint64(0)))
        assert np.array_equal(y, [1000, 1001, 1002])
        with pytest.raises(LaunchError, match="numbered: writes outside y of the pair"):
            small("numbered")((1,), (5,), (pair(4, y), np.uint64(0)))


@needs_compiler
def test_the_same_array_twice_is_one_and_a_part_of_it_is_refused():
    with guarded():
        x = np.ones(6, np.float32)
        small("add")((1,), (6,), (x, x))
        assert np.array_equal(x, np.full(6, 2))
        with pytest.raises(LaunchError, match="add: x and y overlap"):
            small("add")((1,), (5,), (x[1:], x[:5]))


@needs_compiler
def test_undefined_behaviour_is_an_error_and_not_a_crash():
    y, whole = np.zeros(1, np.float32), np.ones(1, np.int32)
    for name, good, wrong in [("local_array", 3, 4), ("local_array", 0, -1),
                              ("shared_array", 3, 4)]:
        small(name)((1,), (1,), (y, np.int32(good)))
        with pytest.raises(LaunchError, match=f"{name}: block 0, thread 0, line .*: an index out"):
            small(name)((1,), (1,), (y, np.int32(wrong)))
    with pytest.raises(LaunchError, match="divide: block 0.* or a division by zero"):
        small("divide")((1,), (1,), (whole, np.int32(0)))
    null = pair(1, y)
    null["y"] = 0
    with pytest.raises(LaunchError, match="numbered: block 0.* a null pointer"):
        small("numbered")((1,), (1,), (null, np.uint64(0)))


# --------------------------------------------------------------------------- the library's kernels
def module(real: str) -> RawModule:
    return RawModule(launch.SOURCE, (f"-DREAL={real}",))


@needs_compiler
@pytest.mark.parametrize("real", REALS)
def test_the_launcher_reads_signatures_as_the_compiler_does(real):
    signatures = launch.signatures(REALS[real])
    assert set(signatures) == set(cuda_on_cpu.parameters_of(launch.SOURCE))
    for name, parameters in signatures.items():
        kernel = module(real).get_function(name)
        assert [p.name for p in parameters] == kernel.parameters
        for parameter, kind in zip(parameters, kernel.types):
            assert parameter.pointer == kind.endswith("*"), (name, parameter)
            read = f"V{parameter.kind.itemsize}" if parameter.kind.names else parameter.kind
            assert np.dtype(read) == np.dtype(kind.rstrip("*")), (name, parameter)


@needs_compiler
@pytest.mark.parametrize("real", REALS)
def test_the_launcher_lays_out_structs_as_the_compiler_does(real):
    fields = [(struct, field, dtype.fields[field][1])
              for struct, dtype in launch.structs(REALS[real]).items() for field in dtype.names]
    lines = [f"y[{k}] = __builtin_offsetof({struct}, {field});"
             for k, (struct, field, _) in enumerate(fields)]
    source = f'{launch.SOURCE} extern "C" __global__ void offsets(int* y) {{ {" ".join(lines)} }}'
    y = np.full(len(fields), -1, np.int32)
    RawModule(source, (f"-DREAL={real}", "-O0")).get_function("offsets")((1,), (1,), (y,))
    assert y.tolist() == [offset for *_, offset in fields] and len(fields) > 10


def test_sizes_that_python_and_cuda_share():
    for name, size in (("COLUMNS", twins.COLUMNS), ("THREADS", twins.THREADS),
                       ("TENSORS", twins.TENSORS), ("PIECE", twins.UPDATE_PIECE)):
        assert f"#define {name} {size} " in launch.SOURCE
    assert twins.LANES * twins.COLUMNS == launch.THREADS


def case_of_bias_activation_grad(dtype):
    """Two blocks of channels, of which the second is not full, for each of three parts."""
    rng, rows, C, parts, slope = np.random.default_rng(0), 100, 40, 3, 0.25
    gy, y = rng.normal(size=(2, rows, C)).astype(dtype)
    gx = np.where(y > 0, gy, dtype.type(slope) * gy)
    sums = np.array([part.sum(0) for part in np.split(gx.astype(float), [34, 68])])
    arguments = (gy, y, np.zeros_like(gx), np.zeros_like(sums), np.int32(rows), np.int32(C),
                 np.int32(parts), dtype.type(slope))
    return (2 * parts,), (launch.THREADS,), arguments, {2: gx, 3: sums}


def case_of_class_shares(dtype):
    """600 class numbers for 256 threads, about a tenth of them to be ignored."""
    t = np.random.default_rng(0).integers(0, 10, 600)
    numbers, shares = np.where(t == 3, 0, t), (t != 3).astype(dtype) / dtype.type((t != 3).sum())
    arguments = (t, np.zeros_like(t), np.zeros(600, dtype), np.ones((), dtype), np.int64(3),
                 np.int32(600))
    return (1,), (launch.THREADS,), arguments, {1: numbers, 2: shares, 3: 0}


CASES = {"bias_activation_grad": case_of_bias_activation_grad, "class_shares": case_of_class_shares}
MUTANTS = without_a_barrier(launch.SOURCE)


def test_every_kernel_with_a_barrier_has_a_case():
    assert {name for name, _ in MUTANTS} == set(CASES)


@needs_compiler
@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("name", CASES)
def test_the_library_s_barriers_hold(name, real):
    assert both_orders(launch.SOURCE, real, name, CASES[name]) == [True, True]


@needs_compiler
@pytest.mark.parametrize("k", range(len(MUTANTS)))
def test_a_barrier_missing_from_the_library_is_seen(k):
    name, source = MUTANTS[k]
    assert not all(both_orders(source, "float", name, CASES[name], "-O0"))


# --------------------------------------------------------------------------- CuPy's own compiler
@pytest.fixture
def compile_for(monkeypatch):
    """compile(source, real, arch): (binary, log) of NVRTC with CuPy's options, without a GPU."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")          # CuPy: no CUDA found on this machine
            from cupy.cuda import compiler, nvrtc
            nvrtc.getVersion()
    except Exception as error:                       # no CuPy, or no library of NVRTC
        pytest.skip(f"needs CuPy and nvidia-cuda-nvrtc: {type(error).__name__}: {error}")
    # What CuPy asks the GPU for, and all that it asks it for.
    monkeypatch.setattr(compiler, "_get_arch_for_options_for_nvrtc",
                        lambda arch=None: (f"-arch=sm_{arch}", "cubin"))

    def compile_(source, real="float", arch="90"):
        log = io.StringIO()
        options = (f"-DREAL={real}", "-ftz=true", "--ptxas-options=-v")
        return compiler.compile_using_nvrtc(source, options, arch, "kernels.cu",
                                            log_stream=log)[0], log.getvalue()
    return compile_


@pytest.mark.parametrize("arch", ["75", "80", "90"])
@pytest.mark.parametrize("real", REALS)
def test_it_compiles_for_gpus(compile_for, real, arch):
    """And every kernel keeps its numbers in registers: none is spilled to memory. Those that need a
    stack take a sine or a cosine of doubles, which reduce large angles there."""
    binary, log = compile_for(launch.SOURCE, real, arch)
    kernels = set(cuda_on_cpu.parameters_of(launch.SOURCE))
    assert all(name.encode() in binary for name in kernels)
    assert set(re.findall(r"Compiling entry function '(\w+)'", log)) == kernels
    frames = dict(re.findall(r"Function properties for (\S+)\n.*?(\d+) bytes stack frame", log))
    assert kernels <= set(frames)
    assert {name for name in kernels if int(frames[name])} <= {"normal_noise"}
    spilled = re.findall(r"(\d+) bytes spill", log)
    assert len(spilled) >= 2 * len(kernels) and set(spilled) == {"0"}
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", log)]
    assert max(registers) * launch.THREADS <= 65536          # a block fits


@pytest.mark.parametrize("wrong", [
    "__device__ void f() { wrong(); }",
    "__device__ float f(float x) { auto g = [] __device__ (float y) { return y; }; return g(x); }",
    "#include <vector>",                             # which g++, but not NVRTC, has
    "__global__ void f(float* x) { x[0] = x; }"])
def test_an_error_does_not_compile_for_gpus(compile_for, wrong):
    compile_for(SUMS)
    with pytest.raises(Exception, match="error") as failure:
        compile_for(f"{SUMS}\n{wrong}")
    assert type(failure.value).__name__ == "CompileException"
