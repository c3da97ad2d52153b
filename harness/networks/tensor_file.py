"""Explains why a file of tensors cannot be written."""

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Final

_NUMBER: Final = re.compile(r"\(os error (\d+)\)")


@contextlib.contextmanager
def system_errors() -> Iterator[None]:
    """Turns an error of safetensors that tells of one of the system, such as a full disk, into the system's own.

    Raises:
        OSError: If the system refuses; what writes the file names it.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as cause:
        found = _NUMBER.search(str(cause))
        if found is None:
            raise
        raise OSError(int(found[1]), os.strerror(int(found[1]))) from cause
