"""Arrays of a trace as a file has them: base64 of their bytes, or one number that all are; and
which of them are cut where a file would be too large.

Whole numbers are stored as differences, each from the one before: indices that count up become many
equal numbers, which gzip makes short.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any, NamedTuple

import numpy as np

from .demands import a_flag, a_list, a_number, a_text, a_whole, an_object, anything, must, one_of

DTYPES = {"f4": np.float32, "f8": np.float64, "i4": np.int32, "i8": np.int64, "u1": np.uint8,
          "b1": np.bool_}
FILLS = 1 << 28               # bytes of all arrays that hold one number, repeated
FIRST = 16                    # numbers that are left of an array that is cut
SAMPLES, SAMPLE = 16, 1024    # parts of a long array by which its size is judged; numbers of one


class Cut(NamedTuple):
    """What is left of an array that had no room in a file."""

    shape: tuple[int, ...]
    dtype: str
    stats: dict[str, float]
    first: np.ndarray                      # its first numbers, in the order in which they lie


# --------------------------------------------------------------------------- to the file
def packed_arrays(arrays: list[np.ndarray | None], cuts: dict[int, Cut], room: int) -> list[dict]:
    """The arrays as items of a file; of those that are cut already, `cuts` has what is left. Where
    they, gzipped, have more than about `room` bytes, some are cut: the smallest that suffices;
    where none does, the largest, and so on."""
    fills = filled_arrays(arrays)
    sizes = {place: _about_zipped(a) for place, a in enumerate(arrays)
             if a is not None and a.size > FIRST and place not in fills}
    excess, chosen = sum(sizes.values()) - room, dict(cuts)
    while excess > 0 and sizes:
        enough = [place for place, n in sizes.items() if n >= excess]
        place = min(enough, key=sizes.get) if enough else max(sizes, key=sizes.get)
        excess -= sizes.pop(place)
        chosen[place] = _cut(arrays[place])
    return [_cut_item(chosen[place]) if place in chosen else _whole_item(a, place in fills)
            for place, a in enumerate(arrays)]


def filled_arrays(arrays: list[np.ndarray | None]) -> set[int]:
    """The places of arrays of one number that are stored as that number; together they have no
    more bytes than a reader makes of such."""
    found, room = set(), FILLS
    for place, a in enumerate(arrays):
        if a is not None and 1 < a.size <= room // 8 and (
                a.ravel() == a.flat[0]).all() and np.isfinite(a.flat[0]):
            found.add(place)
            room -= 8 * a.size
    return found


def _about_zipped(a: np.ndarray) -> int:
    """About how many bytes gzip makes of an array's item: of a long one by some parts of it."""
    flat = _known(a)[0].ravel()
    if len(flat) <= SAMPLES * SAMPLE:
        return len(zlib.compress(_coded(flat)["data"].encode()))
    starts = np.linspace(0, len(flat) - SAMPLE, SAMPLES).astype(int)
    part = np.concatenate([flat[n:n + SAMPLE] for n in starts])
    return int(len(zlib.compress(_coded(part)["data"].encode())) * len(flat) / len(part))


def _known(a: np.ndarray) -> tuple[np.ndarray, str]:
    """The array in a type that files have, and that type's name."""
    name = f"{a.dtype.kind}{a.dtype.itemsize}"
    return (a, name) if name in DTYPES else (a.astype(np.float64), "f8")


def _stats_of(a: np.ndarray) -> dict[str, float]:
    flat = a.ravel()
    finite = flat[np.isfinite(flat)] if a.dtype.kind == "f" else flat
    stats: dict[str, float] = {} if not finite.size else {
        "min": float(finite.min()), "max": float(finite.max()),
        "mean": float((finite / np.float64(finite.size)).sum()),       # of any that are finite
        "zeros": int((finite == 0).sum())}
    if a.dtype.kind == "f":
        stats |= {"nan": int(np.isnan(flat).sum()), "inf": int(np.isinf(flat).sum())}
    return stats


def _whole_item(a: np.ndarray, fill: bool) -> dict:
    a, name = _known(a)
    item = {"shape": list(a.shape), "dtype": name, "full": True, "stats": _stats_of(a)}
    return {**item, **({"fill": a.flat[0].item()} if fill else _coded(a.ravel()))}


def _cut(a: np.ndarray) -> Cut:
    a, name = _known(a)
    return Cut(a.shape, name, _stats_of(a), a.ravel()[:FIRST])


def _cut_item(cut: Cut) -> dict:
    return {"shape": list(cut.shape), "dtype": cut.dtype, "full": False, "stats": cut.stats,
            **_coded(cut.first)}


def _coded(flat: np.ndarray) -> dict:
    """Numbers in a row as base64, whole ones as their differences."""
    whole = flat.dtype.kind in "iu" and flat.dtype.itemsize > 1
    if whole:
        flat = np.diff(flat, prepend=flat.dtype.type(0))             # modulo 2^32 or 2^64
    kind = flat.dtype.newbyteorder("<") if flat.dtype.kind != "b" else flat.dtype
    data = base64.b64encode(flat.astype(kind).tobytes()).decode()
    return {"data": data, "coding": "delta"} if whole else {"data": data}


# --------------------------------------------------------------------------- from the file
def unpacked_arrays(items: list) -> list[np.ndarray | Cut]:
    """The arrays of a file, looked at; of one that was cut, what is left."""
    stated = an_object({"shape": a_list(a_whole(0, 1 << 40)), "dtype": one_of(*DTYPES),
                        "full": a_flag, "stats": an_object({}, others=a_number)},
                       {"data": a_text, "fill": anything, "coding": one_of("delta")})
    room, found = FILLS, []
    for number, item in enumerate(items):
        place = f"arrays[{number}]"
        stated(item, place)
        must(("data" in item) != ("fill" in item), place, "must have either data or fill", item)
        must("data" in item or item["full"], place, "must have data, being cut", item)
        must(len(item["shape"]) <= 32 and math.prod(max(n, 1) for n in item["shape"]) < 1 << 40,
             f"{place}.shape", "must have 32 or fewer axes, and fewer than 2^40 numbers", item[
                 "shape"])
        kind = np.dtype(DTYPES[item["dtype"]])
        must("coding" not in item or "data" in item and kind in (np.int32, np.int64), place,
             "must have no coding, not being whole numbers", item)
        if "fill" in item:
            room -= math.prod(item["shape"]) * kind.itemsize
            must(room >= 0, f"{place}.shape", f"makes {FILLS - room:,} bytes of arrays of one "
                 f"number, and at most {FILLS:,} are made", item["shape"])
            must(_holds(kind, item["fill"]), f"{place}.fill", f"must be a number that "
                 f"{item['dtype']} holds", item["fill"])
            found.append(np.full(item["shape"], item["fill"], kind))
            continue
        count = math.prod(item["shape"])
        flat = _decoded(item, kind, count if item["full"] else min(count, FIRST), f"{place}.data")
        found.append(flat.reshape(item["shape"]) if item["full"] else Cut(
            tuple(item["shape"]), item["dtype"], item["stats"], flat))
    return found


def _holds(kind: np.dtype, value: Any) -> bool:
    if kind.kind == "b":
        return type(value) is bool
    if kind.kind in "iu":
        return type(value) is int and np.iinfo(kind).min <= value <= np.iinfo(kind).max
    return type(value) in (int, float) and abs(value) <= float(np.finfo(kind).max)


def _decoded(item: dict, kind: np.dtype, count: int, place: str) -> np.ndarray:
    try:
        raw = base64.b64decode(item["data"], validate=True)
    except ValueError as error:
        raise ValueError(f"{place}: no base64: {error}") from None
    must(len(raw) == count * kind.itemsize, place,
         f"must be {count * kind.itemsize} bytes for shape {item['shape']}", len(raw))
    must(kind.kind != "b" or not raw.strip(b"\0\1"), place, "must be bytes 0 and 1", "others")
    flat = np.frombuffer(raw, kind.newbyteorder("<")).astype(kind)
    return np.cumsum(flat, dtype=kind) if "coding" in item else flat
