"""Messages between the harness and a worker: JSON with arrays, as Arrow IPC streams.

A connection of `multiprocessing` frames them. The harness does not trust what a worker sends: another program may write
to its end, and a message must neither exhaust the memory nor be taken for the answer to another request.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dataset_builders.core.arrow_arrays import array_of_numbers, numpy_of

LONGEST_TEXT: Final = 4000
"""Maximum length of a cause or error that a worker reports, in characters; longer text is truncated."""

LONGEST_TRAITS: Final = 16 * 2**20
"""Maximum size in bytes of the answer to loading; the folder of a calculator may contain many files."""

_BYTES_OF_A_CHARACTER: Final = 12
_BYTES_OF_THE_REST: Final = 2**18
"""Size of the framing of an answer: names, types, lengths."""

_BODY: Final = b"body"
_SHAPES: Final = b"shapes"


class ProtocolError(Exception):
    """What was received is not a message, or not an expected one."""


class UnsendableError(Exception):
    """A message has content that cannot be encoded, such as an array of complex numbers."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        kind: Kind of the message.
        body: Plain JSON values.
        arrays: Arrays by name, of any shape and precision.
        number: Number of the request; its answer has the same.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    number: int = 0


def longest_answer(n_structures: int, n_atoms: int) -> int:
    """Maximum size in bytes of the answer for a batch, with energies, forces and causes of failures."""
    numbers = 8 * n_structures + 24 * n_atoms
    return numbers + (n_structures + 1) * LONGEST_TEXT * _BYTES_OF_A_CHARACTER + _BYTES_OF_THE_REST


def send(connection: Connection, message: Message) -> None:
    """Sends a complete message.

    Raises:
        UnsendableError: If its content cannot be encoded; nothing is sent then.
        OSError: If the other side is gone.
    """
    connection.send_bytes(encoded(message))


def receive(connection: Connection, longest: int | None = None) -> Message | None:
    """Waits for a message; `None` if the other side closed the connection between two messages.

    Args:
        connection: Connection to read from.
        longest: Maximum size in bytes; a longer message is not read.

    Raises:
        ProtocolError: If what arrives is not a message, or is too long; nothing more can be read then.
        OSError: If the other side closed the connection in the middle of one.
    """
    try:
        content = connection.recv_bytes(longest)
    except (EOFError, ConnectionResetError):
        return None
    except OSError as cause:
        # This is how `multiprocessing` marks a connection whose next message is too long.
        if not connection.readable:
            raise ProtocolError(f"a message of more than {longest} bytes, the maximum for its answer") from cause
        raise
    return decoded(content)


def encoded(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        UnsendableError: If its content cannot be encoded.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in message.arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    try:
        columns = [array_of_numbers(array.ravel()) for array in arrays.values()]
    except (pa.ArrowException, TypeError, ValueError) as cause:
        types = ", ".join(f"{name} of {array.dtype}" for name, array in arrays.items())
        raise UnsendableError(f"{types} ({cause})") from cause
    # The arrays of a message differ in length, so each is the only list in its column.
    offsets = [array_of_numbers(np.array([0, len(column)], np.int32)) for column in columns]
    lists = [pa.ListArray.from_arrays(*each) for each in zip(offsets, columns, strict=True)]
    header = {"kind": message.kind, "number": message.number, "body": dict(message.body)}
    schema = pa.schema(
        [pa.field(name, column.type) for name, column in zip(arrays, lists, strict=True)],
        metadata={_BODY: json.dumps(header), _SHAPES: json.dumps(shapes)},
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(lists, schema=schema))
    return sink.getvalue()


def decoded(content: bytes) -> Message:
    """Decodes a message.

    Raises:
        ProtocolError: If the bytes are not a message.
    """
    try:
        with pa.ipc.open_stream(content) as reader:
            metadata = reader.schema.metadata or {}
            header, shapes = json.loads(metadata[_BODY]), json.loads(metadata[_SHAPES])
            batch = next(iter(reader)) if shapes else None
        if batch is not None:
            # Rejects lengths and offsets that point outside the message.
            batch.validate(full=True)
        arrays = {
            name: numpy_of(batch.column(name).flatten()).reshape(shape)
            for name, shape in shapes.items()
            if batch is not None
        }
        message = Message(header["kind"], header["body"], arrays, header["number"])
    except (
        # Arrow raises its own errors and those of Python, including OSError.
        *(pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration),
        *(MemoryError, OverflowError, RecursionError),
    ) as cause:
        raise ProtocolError(f"{len(content)} bytes that are not a message ({type(cause).__name__}: {cause})") from cause
    kinds = (message.kind, str), (message.body, dict), (message.number, int)
    if not all(type(value) is kind for value, kind in kinds):
        raise ProtocolError(f"a message whose kind is {message.kind!r:.40} and whose number is {message.number!r:.40}")
    return message
