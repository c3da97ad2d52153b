"""A call of third-party code in a worker: whatever it raises is returned as text."""

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
    """An exception of a call, as text.

    Attributes:
        text: Its type, message and origin.
        is_memory: Whether memory ran out; a retry without other work may succeed.
    """

    text: str
    is_memory: bool = False


def attempt(call: Callable[[Any], Result], argument: Any) -> Result | Raised:
    """Makes a call in a worker.

    Not every exception can be pickled, and one that would end the worker, such as `SystemExit`, would end the command
    here. So exceptions are returned as text.

    Raises:
        MlipOodError: If the call raises it: such an error concerns the whole command.
        KeyboardInterrupt: If the user interrupts.
    """
    try:
        result = call(argument)
    except (MlipOodError, KeyboardInterrupt):
        raise
    except BaseException as cause:
        return Raised(_description(cause), isinstance(cause, MemoryError))
    try:
        pickle.loads(pickle.dumps(result))
    except Exception as cause:
        return Raised(f"its result, of type {type(result).__name__}, cannot be sent back: {_description(cause)}")
    return result


def _description(cause: BaseException) -> str:
    try:
        said = " ".join(str(cause).split())
    except Exception:
        said = "it has no readable message"
    place = traceback.extract_tb(cause.__traceback__)[-1]
    where = f" ({Path(place.filename).name}, line {place.lineno})"
    return f"{type(cause).__name__}{f': {said}' if said else ''}{where}"
