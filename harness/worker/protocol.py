"""Messages between the harness and a worker: JSON with arrays, as Arrow IPC streams.

A connection of `multiprocessing` frames them. The harness reads what a worker sends with suspicion: another program may
write into its end, and what comes must neither fill the memory nor pass for the answer to another question.
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

LONGEST_TEXT: Final = 4000
"""Characters of a cause or an error that a worker tells; what is longer is cut."""

LONGEST_TRAITS: Final = 16 * 2**20
"""Bytes of the answer that tells what was loaded; a folder of a calculator may hold many files."""

_BYTES_OF_A_CHARACTER: Final = 12
_BYTES_OF_THE_REST: Final = 2**18
"""Of the outer form of an answer: names, types, lengths."""

_BODY: Final = b"body"
_SHAPES: Final = b"shapes"


class ProtocolError(Exception):
    """What came is no message, or not one that was asked for."""


class UnsendableError(Exception):
    """A message holds what none can hold, such as an array of complex numbers."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message.

    Attributes:
        kind: What it is.
        body: Plain values, as JSON holds them.
        arrays: Arrays by name, of any shape, in their own precision.
        number: Of the question; its answer has the same.
    """

    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    number: int = 0


def longest_answer(n_structures: int, n_atoms: int) -> int:
    """Most bytes of the answer for a batch, whatever goes wrong with it: energies, forces and causes of failures."""
    numbers = 8 * n_structures + 24 * n_atoms
    return numbers + (n_structures + 1) * LONGEST_TEXT * _BYTES_OF_A_CHARACTER + _BYTES_OF_THE_REST


def send(connection: Connection, message: Message) -> None:
    """Sends a message whole.

    Raises:
        UnsendableError: If it holds what no message can hold; nothing was sent then.
        OSError: If the other side is gone.
    """
    connection.send_bytes(encoded(message))


def receive(connection: Connection, longest: int | None = None) -> Message | None:
    """Waits for a message; `None` if the other side hung up between two messages.

    Args:
        connection: Where it comes from.
        longest: Most bytes that it may have; a longer one is not read.

    Raises:
        ProtocolError: If what comes is no message, or is too long; nothing more can be read then.
        OSError: If the other side hung up in the middle of one.
    """
    try:
        content = connection.recv_bytes(longest)
    except (EOFError, ConnectionResetError):
        return None
    except OSError as cause:
        # So it marks a connection on which too long a message stands next.
        if not connection.readable:
            raise ProtocolError(f"a message of more than the {longest} bytes that its answer can have") from cause
        raise
    return decoded(content)


def encoded(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        UnsendableError: If it holds what no message can hold.
    """
    arrays = {name: np.asarray(array, order="C") for name, array in message.arrays.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    try:
        columns = [pa.array(array.ravel()) for array in arrays.values()]
    except (pa.ArrowException, TypeError, ValueError) as cause:
        types = ", ".join(f"{name} of {array.dtype}" for name, array in arrays.items())
        raise UnsendableError(f"{types} ({cause})") from cause
    # Arrays of one message differ in length, so each is the single list of its column.
    lists = [pa.ListArray.from_arrays(pa.array([0, len(column)], pa.int32()), column) for column in columns]
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
    """The message of some bytes.

    Raises:
        ProtocolError: If they are none.
    """
    try:
        with pa.ipc.open_stream(content) as reader:
            metadata = reader.schema.metadata or {}
            header, shapes = json.loads(metadata[_BODY]), json.loads(metadata[_SHAPES])
            batch = next(iter(reader)) if shapes else None
        if batch is not None:
            # Lengths and offsets that lead out of the message would be followed without this.
            batch.validate(full=True)
        arrays = {
            name: batch.column(name).flatten().to_numpy(zero_copy_only=False).reshape(shape)
            for name, shape in shapes.items()
            if batch is not None
        }
        message = Message(header["kind"], header["body"], arrays, header["number"])
    except (
        # Arrow has errors of its own, and raises those of Python, an OSError among them.
        *(pa.ArrowException, OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration),
        *(MemoryError, OverflowError, RecursionError),
    ) as cause:
        raise ProtocolError(f"{len(content)} bytes that are no message ({type(cause).__name__}: {cause})") from cause
    kinds = (message.kind, str), (message.body, dict), (message.number, int)
    if not all(type(value) is kind for value, kind in kinds):
        raise ProtocolError(f"a message whose kind is {message.kind!r:.40} and whose number is {message.number!r:.40}")
    return message
