"""Errors raised by third-party code: which count as failures of a structure, and how a result records them."""

import sys
from typing import Final

from dataset_builders.core.errors import MlipOodError
from dataset_builders.core.markdown import printable

MOST_OF_A_CAUSE: Final = 500
"""Maximum length of an error's text in a result, in characters."""


def must_propagate(cause: BaseException) -> bool:
    """Whether an error of foreign code does not concern one structure: an interrupt, full memory, an error of ours.

    Errors of CUDA do not either: after one, the process cannot use the device any more.
    """
    full = getattr(sys.modules.get("torch"), "OutOfMemoryError", ())
    lost = isinstance(cause, RuntimeError) and "CUDA error" in str(cause)
    return lost or isinstance(cause, (KeyboardInterrupt, MemoryError, MlipOodError, full))


def cause_of(error: BaseException) -> str:
    """Type and text of an error, in one printable line, which any file can be written with."""
    try:
        text = printable(str(error))
    except Exception as cause:  # str() of a foreign error is foreign code, too
        text = f"(its text is not available: {type(cause).__name__})"
    shown = text if len(text) <= MOST_OF_A_CAUSE else text[:MOST_OF_A_CAUSE] + "…"
    name = printable(type(error).__name__)
    return f"{name}: {shown}" if shown else name
