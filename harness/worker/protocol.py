"""Messages between the harness and a worker: JSON with arrays, as Arrow IPC streams behind their length."""

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_LENGTH: Final = struct.Struct("<Q")
_BODY: Final = b"body"
_SHAPES: Final = b"shapes"


class ProtocolError(Exception):
    """What came is no message: the other side died in the middle of one, or something else wrote into the pipe."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        kind: What it is.
        body: Plain values, as JSON holds them.
        arrays: Arrays by name, of any shape, in their own precision.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


def write_message(stream: IO[bytes], message: Message) -> None:
    """Writes a message whole.

    Raises:
        OSError: If the other side is gone.
    """
    write_encoded(stream, encoded(message))


def write_encoded(stream: IO[bytes], content: bytes) -> None:
    """Writes a message of `encoded` whole.

    Raises:
        OSError: If the other side is gone.
    """
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def read_message(stream: IO[bytes]) -> Message | None:
    """Waits for a message; `None` if the other side has closed the pipe between two messages.

    Raises:
        ProtocolError: If what comes is no message.
    """
    header = stream.read(_LENGTH.size)
    if not header:
        return None
    if len(header) < _LENGTH.size:
        raise ProtocolError("the pipe was closed inside the length of a message")
    (length,) = _LENGTH.unpack(header)
    content = stream.read(length)
    if len(content) < length:
        raise ProtocolError(f"the pipe was closed after {len(content)} of {length} bytes of a message")
    try:
        return _decoded(content)
    except (pa.ArrowException, ValueError, KeyError, StopIteration) as cause:
        raise ProtocolError(f"{length} bytes that are no message: {cause!r}") from cause


def encoded(message: Message) -> bytes:
    """The bytes of a message."""
    arrays = {name: np.ascontiguousarray(array) for name, array in message.arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    columns = [pa.array(array.ravel()) for array in arrays.values()]
    # Arrays of one message differ in length, so each is the single list of its column.
    lists = [pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column) for column in columns]
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in zip(arrays, lists, strict=True)],
        metadata={
            _BODY: json.dumps({"kind": message.kind, "body": dict(message.body)}),
            _SHAPES: json.dumps(shapes),
        },
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(lists, schema=schema))
    return sink.getvalue()


def _decoded(content: bytes) -> Message:
    with pa.ipc.open_stream(content) as reader:
        metadata = reader.schema.metadata
        header, shapes = json.loads(metadata[_BODY]), json.loads(metadata[_SHAPES])
        batch = next(iter(reader)) if shapes else None
    arrays = {
        name: batch.column(name).flatten().to_numpy(zero_copy_only=False).reshape(shape)
        for name, shape in shapes.items()
        if batch is not None
    }
    return Message(header["kind"], header["body"], arrays)
