"""Errors that other people's code raises: which are of a structure, and what a result says of them."""

import sys
from typing import Final

from dataset_builders.core.errors import MlipOodError

MOST_OF_A_CAUSE: Final = 500
"""Characters of an error's text that stand in a result."""


def is_for_others(cause: BaseException) -> bool:
    """Whether an error of foreign code is none of a structure's: an interruption, a full memory, an error of ours.

    Nor is an error of CUDA, after which the process cannot use the device any more.
    """
    full = getattr(sys.modules.get("torch"), "OutOfMemoryError", ())
    lost = isinstance(cause, RuntimeError) and "CUDA error" in str(cause)
    return lost or isinstance(cause, (KeyboardInterrupt, MemoryError, MlipOodError, full))


def cause_of(error: BaseException) -> str:
    """What an error is called and says, in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception as cause:  # its own text is foreign code, too
        text = f"(its text cannot be had: {type(cause).__name__})"
    shown = text if len(text) <= MOST_OF_A_CAUSE else text[:MOST_OF_A_CAUSE] + "…"
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
