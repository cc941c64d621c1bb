"""Random masks: the cipher Philox 4x64-10 (see ``minidl.random``) computed where it is used.

Element e of a draw is word e mod 4 of block e div 4 + 1, whatever the memory order of the array is
and whichever thread computes it.
"""

from __future__ import annotations

import numpy as np

from .. import layout
from .jit import JIT, inlined
from .threads import parallel
from .tile import put

FACTORS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
KEY_STEPS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBB67AE8584CAA73B)

if JIT:
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

    @intrinsic
    def upper_half(typingctx, a, b):
        """The upper 64 bits of the 128 bits of a * b."""
        def codegen(context, builder, sig, args):
            wide = ir.IntType(128)
            product = builder.mul(*(builder.zext(x, wide) for x in args))
            return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
        return types.uint64(types.uint64, types.uint64), codegen

    @inlined
    def lower_half(a, b):
        return a * b

    @inlined
    def wrapped_sum(a, b):
        return a + b
else:
    def upper_half(a, b):
        return np.uint64(int(a) * int(b) >> 64)

    def lower_half(a, b):
        return np.uint64(int(a) * int(b) % 2**64)

    def wrapped_sum(a, b):
        return np.uint64((int(a) + int(b)) % 2**64)


@inlined
def philox(block, key0, key1):
    """The four words of a block."""
    a, b, c, d = np.uint64(block), np.uint64(0), np.uint64(0), np.uint64(0)
    for i in range(10):
        if i:
            key0, key1 = wrapped_sum(key0, KEY_STEPS[0]), wrapped_sum(key1, KEY_STEPS[1])
        a, b, c, d = (upper_half(FACTORS[1], c) ^ b ^ key0, lower_half(FACTORS[1], c),
                      upper_half(FACTORS[0], a) ^ d ^ key1, lower_half(FACTORS[0], a))
    return a, b, c, d


@parallel
def _mask_loop(start, stop, mask, key0, key1, first, p, kept, C, pixels):
    """mask = 0 where u < p, else `kept`; in memory (n, pixel, c), numbered (n, c, pixel), from
    `first` on. A step is an image: its first and last block may belong to its neighbours too."""
    size = C * pixels
    kept, gone = mask.dtype.type(kept), mask.dtype.type(0)
    limit = np.float32(p)
    for n in range(start, stop):
        c, pixel, begin = 0, 0, first + n * size
        for block in range(begin // 4, (begin + size - 1) // 4 + 1):
            words = philox(block + 1, key0, key1)
            for k in range(4):
                e = 4 * block + k - begin
                if 0 <= e < size:
                    word = words[0] if k == 0 else words[1] if k == 1 else (
                        words[2] if k == 2 else words[3])
                    u = np.float32(word >> np.uint64(40)) * np.float32(2.0**-24)
                    put(mask, n * size + pixel * C + c, kept if u >= limit else gone)
                    pixel += 1
                    if pixel == pixels:
                        c, pixel = c + 1, 0


def _dropout_mask(x, p, seed, counter, first=0):
    channels_last = x.ndim == 4 and not x.flags.c_contiguous
    N, C = (x.shape[0], x.shape[1]) if channels_last else (max(1, x.size // 4096), 1)
    if not channels_last and x.size % N:
        N = 1
    mask = np.empty(x.size, x.dtype)
    _mask_loop(N, 1, mask, np.uint64(seed), np.uint64(counter), first, float(p),
               0.0 if p == 1 else 1 / (1 - p), C, x.size // (N * C))
    return layout.images(mask, *x.shape) if channels_last else mask.reshape(x.shape)
