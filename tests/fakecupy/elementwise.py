"""The ufuncs: one number for each element."""

from __future__ import annotations

import numpy as np

from .arrays import device_array, number_or_array, prepared_index, result
from .counts import launch, sync


class ufunc:
    """One number for each element: ``f(x, ..., out=None, dtype=None, casting="same_kind")``."""

    def __init__(self, name: str, function: np.ufunc):
        self.__name__ = self.name = f"cupy_{name}"
        self.nin, self.nout, self._numpy = function.nin, 1, function

    def __call__(self, *args, out=None, dtype=None, casting="same_kind"):
        if not self.nin <= len(args) <= self.nin + 1:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        if len(args) > self.nin:
            *args, out = args
        given = [number_or_array(x) for x in args]
        more = {} if dtype is None else {"dtype": dtype}
        if out is not None:
            out = out[0] if isinstance(out, tuple) else out
            more["out"] = device_array(f"{self.name}, out", out)
            if np.broadcast_shapes(*[np.shape(x) for x in given]) != out.shape:
                raise ValueError("Out shape is mismatched")
        with np.errstate(all="ignore"):
            y = self._numpy(*given, casting=casting, **more)
        if out is None:
            return result(self.name, y)
        launch(self.name)
        return out

    def at(self, a, indices, b=None):
        if self.name != "cupy_add":
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if a.dtype.name not in ("int32", "float16", "float32", "float64", "uint32", "uint64"):
            raise TypeError("scatter_add only supports int32, float16, float32, float64, uint32, "
                            "uint64, as data type")
        index, arrays, masks = prepared_index(a.shape, indices)
        if masks:
            sync("add.at a mask")
        launch("add.at", 3 if masks else 1 if arrays < 2 else arrays + 2)
        np.add.at(a._a, index, number_or_array(b))

    def outer(self, A, B, **kwargs):
        return self(A.reshape(A.shape + (1,) * B.ndim), B, **kwargs)


_NAMES = """
add subtract multiply true_divide floor_divide power remainder negative absolute exp expm1 exp2 log
log1p log2 log10 sqrt cbrt square reciprocal sin cos tan sinh cosh tanh arcsin arccos arctan arctan2
maximum minimum fmax fmin sign floor ceil trunc rint isfinite isnan isinf signbit copysign hypot
equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not logical_xor
bitwise_and bitwise_or bitwise_xor invert left_shift right_shift logaddexp deg2rad rad2deg
""".split()
ufuncs = {name: ufunc(name, getattr(np, name)) for name in _NAMES}
