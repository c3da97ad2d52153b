"""Spoils Parquet files: types, nulls, values and lengths of columns, their order and names, metadata and encodings."""

import io
import random
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_NUMBERS: Final = (0, -1, 1, 2, 255, 2**15 - 1, 2**31 - 1, 2**63 - 1, float("nan"), float("inf"), 1e308, -1e308, 1e-320)
_TEXTS: Final = (
    "",
    "H-2-H",
    "H-99-H",
    "x",
    "\x00",
    "\u202e",
    "near",
    "primary",
    "y" * 100_000,
    "C1CC",
    "../x",
    "-",
    "a\nb",
)
_KINDS: Final = (
    pa.int8(), pa.int32(), pa.uint64(), pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(),
    pa.binary(), pa.bool_(), pa.null(), pa.decimal128(38, 2), pa.timestamp("us"), pa.list_(pa.float64()),
    pa.large_list(pa.float32()), pa.list_(pa.list_(pa.float32())), pa.dictionary(pa.int32(), pa.string()),
    pa.struct([("a", pa.float32())]),
)  # fmt: skip


def spoiled_table(content: bytes, rng: random.Random, json_mutated: Callable[[bytes, random.Random], bytes]) -> bytes:
    """One spoiled file."""
    table = pq.read_table(io.BytesIO(content))
    for _ in range(rng.choice((1, 1, 2))):
        try:
            table = _changed(table, rng, json_mutated)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, IndexError, NotImplementedError):
            continue
    return _written(table, rng) or content


def _changed(table: pa.Table, rng: random.Random, json_mutated: Callable[[bytes, random.Random], bytes]) -> pa.Table:  # noqa: PLR0911
    if not table.num_columns:
        return table
    place = rng.randrange(table.num_columns)
    name, column = table.schema.names[place], table.column(place)
    match rng.randrange(10):
        case 0:
            return table.remove_column(place)
        case 1:
            return table.append_column(rng.choice((name, "extra", "")), column)
        case 2:
            return table.set_column(place, name, _of_kind(column, rng.choice(_KINDS)))
        case 3:
            return table.slice(0, rng.choice((0, 1, table.num_rows // 2)))
        case 4:
            return pa.concat_tables([table, table])
        case 5:
            order = list(range(table.num_rows))
            rng.shuffle(order)
            return table.take(order)
        case 6:
            return table.replace_schema_metadata(_metadata(table, rng, json_mutated))
        case 7 if pa.types.is_string(column.type):
            return table.set_column(place, pa.field(name, column.type), _not_utf8(column, rng))
        case 7:
            return table.set_column(place, pa.field(name, column.type), column.dictionary_encode())
        case _:
            return table.set_column(place, pa.field(name, column.type), _with_values(column, rng))


def _of_kind(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    try:
        return column.cast(kind)
    except pa.ArrowException:
        values = {pa.string(): "x", pa.large_string(): "x", pa.binary(): b"\xff", pa.bool_(): True}
        filler: Any = values.get(kind, 1 if not pa.types.is_nested(kind) else None)
        return pa.array([filler] * len(column), kind)


def _not_utf8(column: pa.ChunkedArray, rng: random.Random) -> pa.Array:
    """Text whose bytes are none, which Arrow writes and reads without a look."""
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    _, offsets, data = array.buffers()
    content = bytearray(data.to_pybytes())
    if not content:
        return column
    content[rng.randrange(len(content))] = rng.choice((0xFF, 0xC0, 0xED, 0x80))
    return pa.StringArray.from_buffers(len(array), offsets, pa.py_buffer(bytes(content)))


def _with_values(column: pa.ChunkedArray, rng: random.Random) -> pa.Array:
    """Some values replaced by null, by hostile ones of the same type, or by lists of other lengths."""
    values = column.to_pylist()
    for row in rng.sample(range(len(values)), min(len(values), rng.choice((1, 1, 3, 10**6)))):
        values[row] = _hostile(values[row], column.type, rng)
    try:
        return pa.array(values, column.type)
    except (pa.ArrowException, OverflowError):
        return pa.array(np.array(values, dtype=float).astype("int64"), pa.int64()).cast(column.type, safe=False)


def _hostile(value: Any, kind: pa.DataType, rng: random.Random) -> Any:
    if rng.random() < 0.2:
        return None
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return _scalar(kind, rng)
    inner = list(value or [])
    change = rng.randrange(5)
    if inner and change < 2:
        inner[rng.randrange(len(inner))] = None if change else _scalar(kind.value_type, rng)
        return inner
    return (inner[:-1], inner + inner, [])[change - 2]


def _scalar(kind: pa.DataType, rng: random.Random) -> Any:
    if pa.types.is_string(kind):
        return rng.choice(_TEXTS)
    if pa.types.is_integer(kind):
        is_signed = not str(kind).startswith("u")
        low = -(2 ** (kind.bit_width - 1)) if is_signed else 0
        high = low + 2**kind.bit_width - 1
        return min(high, max(low, rng.choice((0, -1, 1, 2, 119, 255, low, high, rng.randrange(low, high)))))
    return rng.choice(_NUMBERS)


def _metadata(
    table: pa.Table, rng: random.Random, json_mutated: Callable[[bytes, random.Random], bytes]
) -> dict[bytes, bytes]:
    found = dict(table.schema.metadata or {})
    if not found:
        return {b"mlip_ood": b"[1]"}
    key = rng.choice(list(found))
    found[key] = json_mutated(found[key], rng)
    return found


def _written(table: pa.Table, rng: random.Random) -> bytes | None:
    stream = io.BytesIO()
    try:
        pq.write_table(
            table,
            stream,
            compression=rng.choice(("none", "snappy", "zstd", "gzip")),
            use_dictionary=rng.random() < 0.7,
            row_group_size=rng.choice((None, 1, 7)) if table.num_rows < 200 else None,
            write_statistics=rng.random() < 0.5,
            store_schema=rng.random() < 0.8,
            data_page_version=rng.choice(("1.0", "2.0")),
            write_page_checksum=rng.random() < 0.7,
        )
    except (pa.ArrowException, OSError, ValueError, TypeError):
        return None
    return stream.getvalue()
