"""A call in a worker, around other people's code: whatever it raises comes back in words."""

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataset_builders.core.errors import MlipOodError

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Raised:
    """What a call raised.

    Attributes:
        text: Its type, what it says, and where it comes from.
        is_memory: Whether there was not enough memory, which there may be with nothing else at work.
    """

    text: str
    is_memory: bool = False


def attempt(call: Callable[[Any], Result], argument: Any) -> Result | Raised:
    """Makes a call; the work of one worker.

    Not every exception can be sent from a worker, and one that ends the process there, such as `SystemExit`, would end
    the command here. So it comes back in words, whatever it is.

    Raises:
        MlipOodError: If the call raises it: such an error is meant for the whole command.
        KeyboardInterrupt: If the user interrupts.
    """
    try:
        result = call(argument)
    except (MlipOodError, KeyboardInterrupt):
        raise
    except BaseException as cause:
        return Raised(_in_words(cause), isinstance(cause, MemoryError))
    try:
        pickle.loads(pickle.dumps(result))
    except Exception as cause:
        return Raised(f"its result, of type {type(result).__name__}, cannot be sent back: {_in_words(cause)}")
    return result


def _in_words(cause: BaseException) -> str:
    try:
        said = " ".join(str(cause).split())
    except Exception:
        said = "it has no words for it"
    place = traceback.extract_tb(cause.__traceback__)[-1]
    where = f" ({Path(place.filename).name}, line {place.lineno})"
    return f"{type(cause).__name__}{f': {said}' if said else ''}{where}"
