"""Numbers and texts between NumPy and Arrow.

`pyarrow.array` and `to_numpy` import pandas, which takes a third of a second, to see whether they were given something
of it. These functions do not.
"""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UNREADABLE: Final = (OSError, UnicodeDecodeError, pa.ArrowException)
"""What reading a damaged Parquet file may raise; the name of a column need not be UTF-8."""


def array_of_numbers(values: npt.NDArray[Any]) -> pa.Array:
    """An Arrow array of the values of a NumPy array of one dimension, which it shares where they are contiguous.

    Raises:
        pyarrow.ArrowException: If Arrow has no type for the values, such as complex numbers.
    """
    if values.dtype.kind not in "iuf" or values.ndim != 1 or not values.dtype.isnative:
        return pa.array(values)
    values = np.ascontiguousarray(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def array_of_texts(texts: Iterable[str]) -> pa.Array:
    """An Arrow array of texts.

    Raises:
        UnicodeEncodeError: If a text has no UTF-8, such as half of a surrogate pair.
        pyarrow.ArrowException: If the texts have more than 2 GiB together.
    """
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        raise pa.ArrowCapacityError(f"texts of {ends[-1]} bytes together; at most {np.iinfo(np.int32).max} fit")
    buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def numpy_of(array: pa.Array) -> npt.NDArray[Any]:
    """The values of an Arrow array without nulls as a NumPy array; numbers are shared, and cannot be written to.

    With nulls, or for values other than numbers and truths, it is what `to_numpy` makes of them.
    """
    if array.null_count == 0 and pa.types.is_boolean(array.type):
        bits = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8)
        flat = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")
        return flat[array.offset :].astype(np.bool_)
    if array.null_count == 0 and (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return np.from_dlpack(array)
    return np.asarray(array.to_numpy(zero_copy_only=False))
