"""The innermost loop of every convolution and matrix product, in vector registers.

A tile is ROWS x columns(dtype) results, held in registers while the products are added up:

    tile[p, q] = sum over runs, k < K:  a[A[p] + shift_a + k step_a] * b[B + shift_b + k step_b + q]

A run names ROWS places in `a` (one a row of the tile), one place in `b` and a length K; the list of
runs says which numbers meet. So the rows of a convolution are read where they stand in the image.
With 6 rows of two 32-byte vectors (12 accumulators) an AVX2 machine can do two multiply-adds of 8
floats in every cycle.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from .jit import JIT, inlined

ROWS = 6
FIELDS = ROWS + 2                    # of a run: the places in a, the place in b, the length
VECTOR_BYTES, VECTORS = 32, 2


def columns(dtype) -> int:
    """The columns of a tile: 16 of float32, 8 of float64."""
    return VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize


def _tile_in_python(a, b, place, stride, runs, first, count, shift_a, shift_b, step_a, step_b):
    (y, at), n = place, columns(a.dtype)
    for p in range(ROWS):
        for q in range(n):
            total = y.dtype.type(0)
            for r in range(count):
                run = runs[first + r * FIELDS:first + (r + 1) * FIELDS]
                for k in range(run[ROWS + 1]):
                    total += (a[run[p] + shift_a + k * step_a]
                              * b[run[ROWS] + shift_b + k * step_b + q])
            y[at + p * stride + q] = total


if JIT:
    from llvmlite import ir
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    from .native import I64, pointer
    from .native import load_number as get
    from .native import store_number as put

    def _int64(n: int):
        return ir.Constant(I64, n)

    class _Loop:
        """``for i in range(count)`` with values that are carried from round to round."""

        def __init__(self, builder, name, count, carried):
            self.builder, self.before = builder, builder.block
            self.head = builder.append_basic_block(f"{name}.head")
            self.body = builder.append_basic_block(f"{name}.body")
            self.after = builder.append_basic_block(f"{name}.after")
            builder.branch(self.head)
            builder.position_at_end(self.head)
            self.values = [builder.phi(value.type) for value in (_int64(0), *carried)]
            for phi, value in zip(self.values, (_int64(0), *carried)):
                phi.add_incoming(value, self.before)
            builder.cbranch(builder.icmp_signed("<", self.values[0], count), self.body, self.after)
            builder.position_at_end(self.body)

        def end(self, carried):
            """Go on with these values; what follows comes after the loop."""
            builder = self.builder
            following = (builder.add(self.values[0], _int64(1)), *carried)
            for phi, value in zip(self.values, following):
                phi.add_incoming(value, builder.block)
            builder.branch(self.head)
            builder.position_at_end(self.after)

    @intrinsic
    def tile_columns(typingctx, a):
        """``columns(a.dtype)`` as a constant, so that loops over it are unrolled."""
        size = 4 if a.dtype == types.float32 else 8
        def codegen(context, builder, sig, args):
            return _int64(VECTORS * VECTOR_BYTES // size)
        return types.int64(a), codegen

    @intrinsic
    def multiply_tile(typingctx, a, b, place, stride, runs, first, count, shift_a, shift_b, step_a,
                      step_b):
        """The sum of products over `count` runs, listed in `runs` from `first` on; row p of the
        tile goes to the `place`, `stride` numbers after the row before."""
        n = types.int64
        return types.void(a, b, n, n, runs, n, n, n, n, n, n), _write_tile

    @intrinsic
    def place(typingctx, array, i):
        """Where array[i] stands."""
        def codegen(context, builder, sig, args):
            return builder.ptrtoint(pointer(context, builder, sig.args[0], *args), I64)
        return types.int64(array, types.int64), codegen

    @intrinsic
    def copy(typingctx, target, at, source, start, count):
        """target[at:at+count] = source[start:start+count]"""
        n = types.int64

        def codegen(context, builder, sig, args):
            to, from_ = (pointer(context, builder, sig.args[i], *args[i:i + 2]) for i in (0, 2))
            size = builder.mul(args[4], _int64(context.get_abi_sizeof(from_.type.pointee)))
            cgutils.raw_memcpy(builder, to, from_, size, 1)
            return context.get_dummy_value()
        return types.void(target, n, source, n, n), codegen

    @intrinsic
    def add_columns(typingctx, target, at, source, start):
        """target[at + q] += source[start + q] for the columns q of a tile."""
        return types.void(target, types.int64, source, types.int64), partial(_columns, adds=True)

    @intrinsic
    def copy_columns(typingctx, target, at, source, start):
        """target[at + q] = source[start + q] for the columns q of a tile."""
        return types.void(target, types.int64, source, types.int64), partial(_columns, adds=False)

    def _columns(context, builder, sig, args, adds):
        size = context.get_abi_sizeof(context.get_value_type(sig.args[0].dtype))
        vector = ir.VectorType(context.get_value_type(sig.args[0].dtype), VECTOR_BYTES // size)
        to, from_ = (builder.bitcast(pointer(context, builder, sig.args[i], *args[i:i + 2]),
                                     vector.as_pointer()) for i in (0, 2))
        for v in range(VECTORS):
            place = builder.gep(to, [_int64(v)])
            new = builder.load(builder.gep(from_, [_int64(v)]))
            new.align = size
            if adds:
                old = builder.load(place)
                old.align = size
                new = builder.fadd(old, new)
            builder.store(new, place).align = size
        return context.get_dummy_value()

    def _write_tile(context, builder, sig, args):
        a, b, runs = (pointer(context, builder, sig.args[i], args[i]) for i in (0, 1, 4))
        number = context.get_value_type(sig.args[0].dtype)
        y, stride = builder.inttoptr(args[2], number.as_pointer()), args[3]
        first, count, shift_a, shift_b, step_a, step_b = args[5:]
        lanes = VECTOR_BYTES // (4 if sig.args[0].dtype == types.float32 else 8)
        vector = ir.VectorType(number, lanes)
        fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(vector, [vector] * 3),
            f"llvm.fma.v{lanes}f{8 * VECTOR_BYTES // lanes}")
        grid = [(p, v) for p in range(ROWS) for v in range(VECTORS)]

        def vector_at(place, i):
            return builder.bitcast(builder.gep(place, [i]), vector.as_pointer())

        def in_all_lanes(scalar):
            undefined = ir.Constant(vector, ir.Undefined)
            first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(first, undefined, ir.Constant(
                ir.VectorType(ir.IntType(32), lanes), [0] * lanes))

        # for run in runs:
        outer = _Loop(builder, "run", count, [ir.Constant(vector, [0.0] * lanes)] * len(grid))
        field = builder.add(first, builder.mul(outer.values[0], _int64(FIELDS)))
        run = [builder.load(builder.gep(runs, [builder.add(field, _int64(i))]))
               for i in range(FIELDS)]
        rows = [builder.gep(a, [builder.add(run[p], shift_a)]) for p in range(ROWS)]
        start = builder.gep(b, [builder.add(run[ROWS], shift_b)])
        #     for k in range(K): i = k step_a, j = k step_b
        zero = _int64(0)
        inner = _Loop(builder, "k", run[ROWS + 1], [zero, zero, *outer.values[1:]])
        i, j, *sums = inner.values[1:]
        right = []
        for v in range(VECTORS):
            load = builder.load(vector_at(start, builder.add(j, _int64(v * lanes))))
            load.align = VECTOR_BYTES // lanes
            right.append(load)
        left = [in_all_lanes(builder.load(builder.gep(rows[p], [i]))) for p in range(ROWS)]
        sums = [builder.call(fma, [left[p], right[v], s]) for (p, v), s in zip(grid, sums)]
        inner.end([builder.add(i, step_a), builder.add(j, step_b), *sums])
        outer.end(inner.values[3:])

        for (p, v), total in zip(grid, outer.values[1:]):
            column = builder.add(builder.mul(stride, _int64(p)), _int64(v * lanes))
            store = builder.store(total, vector_at(y, column))
            store.align = VECTOR_BYTES // lanes
        return context.get_dummy_value()
else:
    multiply_tile = _tile_in_python

    def tile_columns(a):
        return columns(a.dtype)

    def place(array, i):
        return array, i

    def copy(target, at, source, start, count):
        target[at:at + count] = source[start:start + count]

    def add_columns(target, at, source, start):
        n = columns(source.dtype)
        target[at:at + n] += source[start:start + n]

    def copy_columns(target, at, source, start):
        n = columns(source.dtype)
        target[at:at + n] = source[start:start + n]

    def get(array, i):
        return array[i]

    def put(array, i, value):
        array[i] = value


# --------------------------------------------------------------------------- rows of numbers
@inlined
def add_part(target, at, source, start, count):
    """target[at:at+count] += source[start:start+count], `count` at most a tile's columns"""
    if count == tile_columns(source):
        add_columns(target, at, source, start)
    else:
        for i in range(count):
            put(target, at + i, get(target, at + i) + get(source, start + i))
