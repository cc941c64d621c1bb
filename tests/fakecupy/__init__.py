"""A stand-in for CuPy 14 that runs on NumPy, and refuses what a GPU refuses or silently does wrong.

    with fakecupy.installed() as cupy:              # or the pytest fixture `gpu`
        x = minidl.tensor([1.0, 2.0], device="cuda")
        with fakecupy.forbid_sync(), fakecupy.counting() as count:
            y = x * x
        assert count.launches == 1 and count.uploads == 0

Where the real CuPy raises, so does this, with the same type. What CuPy lets pass although no
program should do it is a :class:`Violation`, which no ``except ValueError`` catches:

* a host array among device arrays (also the 0-d arrays and index arrays that CuPy copies silently),
* an array of a GPU that is not the current one (``installed(gpus=2)`` has two),
* integer indices out of range (CuPy wraps them), repeated indices in an assignment (undefined),
* ``np.exp(device_array)`` and its like, which CuPy carries out slowly,
* waiting for the device inside :func:`forbid_sync`.

Memory that nobody has written holds nan, or the largest integer. Results of reductions are 0-d
arrays, elementwise results are in C order whatever their operands are, as CuPy's are.

Names and keywords are CuPy's and no others: where the real CuPy can be imported (it needs no GPU
for that), every signature here is compared with the real one before the first use. A kernel of a
RawModule is compiled by g++ and really run: see cuda_on_cpu.py.

counts       violations, waiting, counts       functions    CuPy's functions of arrays
memory       GPUs and their memory             runtime      events, streams, kernels
arrays       the array, with its indices       modules      what ``import cupy`` finds
elementwise  the ufuncs                        signatures   the real CuPy's, compared with these
names        the modules before they are filled
"""

from .arrays import ndarray
from .counts import Counts, HiddenSync, Violation, counting, forbid_sync, wrapping_indices
from .functions import array, asarray
from .memory import CUDARuntimeError, OutOfMemoryError, memory_limit
from .modules import MODULES, installed
from .names import cupy
from .signatures import check_signatures, differences, real_cupy

__all__ = ["CUDARuntimeError", "Counts", "HiddenSync", "MODULES", "OutOfMemoryError", "Violation",
           "array", "asarray", "check_signatures", "counting", "cupy", "differences",
           "forbid_sync", "installed", "memory_limit", "ndarray", "real_cupy", "wrapping_indices"]
