"""What a thread pool needs of the machine and Numba does not offer: atomics, calls by address.

Each is a few instructions written in LLVM's language. `cells` is an int64 array that threads share.
"""

from __future__ import annotations

import os
import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler import Flags
from numba.extending import intrinsic

I64, I8 = ir.IntType(64), ir.IntType(8)
PIECE_TYPE = ir.FunctionType(ir.VoidType(), [I8.as_pointer(), I64, I64])
"""The machine's view of a piece of work: void piece(arguments, start, stop)."""


def pointer(context, builder, array_type, array, index=None):
    """The address of the first element of `array`, or of element `index`.

    Addresses know no strides: an array that did not come through layout.py would be read wrong
    without a word, so no kernel is compiled for one."""
    if array_type.ndim != 1 or array_type.layout != "C":
        raise TypeError(f"{array_type} on its way to a kernel; flatten the array by layout.py")
    data = context.make_array(array_type)(context, builder, array).data
    return data if index is None else builder.gep(data, [index])


@intrinsic
def load_number(typingctx, array, i):
    """array[i] of a flat array. Numba's own indexing first asks if i is negative (counted from the
    end), which keeps the compiler from making vector instructions of a loop."""
    def codegen(context, builder, sig, args):
        return builder.load(pointer(context, builder, sig.args[0], args[0], args[1]))
    return array.dtype(array, types.int64), codegen


@intrinsic
def store_number(typingctx, array, i, value):
    """array[i] = value of a flat array; see :func:`get`."""
    def codegen(context, builder, sig, args):
        builder.store(args[2], pointer(context, builder, sig.args[0], args[0], args[1]))
        return context.get_dummy_value()
    return types.void(array, types.int64, array.dtype), codegen


@intrinsic
def atomic_add(typingctx, cells, i, value):
    """cells[i] += value, as one step for all threads; what stood there before."""
    def codegen(context, builder, sig, args):
        place = pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")
    return types.int64(cells, types.int64, types.int64), codegen


@intrinsic
def atomic_load(typingctx, cells, i):
    """cells[i], as the last thread left it."""
    def codegen(context, builder, sig, args):
        place = pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(place, "seq_cst", 8)
    return types.int64(cells, types.int64), codegen


@intrinsic
def atomic_store(typingctx, cells, i, value):
    """cells[i] = value, seen by all threads after everything written before."""
    def codegen(context, builder, sig, args):
        place = pointer(context, builder, sig.args[0], args[0], args[1])
        builder.store_atomic(args[2], place, "seq_cst", 8)
        return context.get_dummy_value()
    return types.void(cells, types.int64, types.int64), codegen


@intrinsic
def atomic_swap(typingctx, cells, i, value):
    """cells[i] = value; what stood there before."""
    def codegen(context, builder, sig, args):
        place = pointer(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("xchg", place, args[2], "seq_cst")
    return types.int64(cells, types.int64, types.int64), codegen


@intrinsic
def pause(typingctx):
    """Tell the processor that this is a waiting loop."""
    def codegen(context, builder, sig, args):
        if platform.machine().lower() in ("x86_64", "amd64"):
            _call(builder, "llvm.x86.sse2.pause", ir.VoidType())
        return context.get_dummy_value()
    return types.void(), codegen


@intrinsic
def let_others_run(typingctx):
    """Offer this core to another thread that waits for it, where the system has a call for that."""
    def codegen(context, builder, sig, args):
        if os.name == "posix":
            _call(builder, "sched_yield", ir.IntType(32))
        return context.get_dummy_value()
    return types.void(), codegen


def _call(builder, name: str, result) -> None:
    builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(result, []), name),
                 [])


@intrinsic
def call_piece(typingctx, address, data, start, stop):
    """Call the piece of work at `address` with (data, start, stop)."""
    def codegen(context, builder, sig, args):
        function = builder.inttoptr(args[0], PIECE_TYPE.as_pointer())
        builder.call(function, [builder.inttoptr(args[1], I8.as_pointer()), args[2], args[3]])
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64, types.int64), codegen


@intrinsic
def as_piece(typingctx, kernel, arguments):
    """``kernel(start, stop, *arguments)`` as a piece of work: (its address, its data's address).

    The data is a copy of the arguments on the caller's stack: it is valid until the caller returns.
    """
    inner = types.void(types.int64, types.int64, *arguments.types)

    def codegen(context, builder, sig, args):
        _, packed = sig.args
        data = cgutils.alloca_once_value(builder, args[1])
        # As a subroutine of the caller: compiled and optimised together with it, once. Python's
        # check of each division for 0 (error_model) would keep its loop from being vectorised.
        flags = Flags()
        flags.nrt, flags.error_model = True, "numpy"
        result = context.compile_subroutine(builder, kernel.dispatcher.py_func, inner, flags=flags)
        name = f"piece.{result.fndesc.mangled_name}"
        piece = ir.Function(builder.module, PIECE_TYPE, name)
        piece.linkage = "internal"
        inside = ir.IRBuilder(piece.append_basic_block("entry"))
        address, start, stop = piece.args
        values = inside.load(inside.bitcast(address, data.type))
        unpacked = [inside.extract_value(values, i) for i in range(len(packed.types))]
        target = context.declare_function(inside.module, result.fndesc)
        context.call_conv.call_function(inside, target, inner.return_type, inner.args,
                                        [start, stop, *unpacked])
        inside.ret_void()
        return context.make_tuple(builder, sig.return_type,
                                  [builder.ptrtoint(piece, I64), builder.ptrtoint(data, I64)])
    return types.UniTuple(types.int64, 2)(kernel, arguments), codegen
