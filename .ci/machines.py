"""Print the older processors that this one can act as, a line each: NAME VARIABLE=VALUE ...

The BLAS, NumPy and Numba each choose instructions by the processor they find, and each can be told
another. So one machine computes as others would, in their order of additions and with their
roundings. Elsewhere than on x86 there is nothing to choose, and nothing is printed.
"""

from __future__ import annotations

import platform

from numpy._core import _multiarray_umath as numpy_core

# OpenBLAS's name, Numba's; what the processor must have; NumPy's names for what it has not.
PROCESSORS = [
    ("SkylakeX", "skylake-avx512", ("AVX512F", "AVX512_SKX"),
     ("AVX512_C", "AVX512_I", "AVX512_K", "AVX512_SP")),
    ("Haswell", "haswell", ("AVX2", "FMA3"), ("AVX512", "X86_V4")),
    ("Sandybridge", "sandybridge", ("AVX",),
     ("AVX512", "X86_V4", "AVX2", "FMA3", "F16C", "X86_V3")),
]


def machines() -> list[str]:
    """The lines to print."""
    has = {name for name, there in numpy_core.__cpu_features__.items() if there}
    lines = []
    for blas, numba, needs, newer in PROCESSORS:
        off = [name for name in numpy_core.__cpu_dispatch__ if name in has
               and name.startswith(newer)]
        if has.issuperset(needs):
            lines.append(f"{blas} OPENBLAS_CORETYPE={blas} NUMBA_CPU_NAME={numba} "
                         f"NUMBA_CPU_FEATURES= NPY_DISABLE_CPU_FEATURES={','.join(off)}")
    return lines


if __name__ == "__main__":
    if platform.machine().lower() in ("x86_64", "amd64"):
        print("\n".join(machines()))
