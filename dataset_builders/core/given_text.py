"""Names and paths from a user, which records repeat: they must be text that a file in UTF-8 can contain."""

from collections.abc import Iterable

from dataset_builders.core.errors import UsageError
from dataset_builders.core.shown import shown

_REMEDY = "rename the file or folder, or make a link to it whose name is in UTF-8"


def require_arguments(arguments: Iterable[str]) -> None:
    """Checks the arguments of a command line before anything is read or written.

    Raises:
        UsageError: If one is not text in UTF-8.
    """
    for argument in arguments:
        require_text("the argument", argument)


def require_text(what: str, text: str) -> None:
    """Checks a name or path.

    Args:
        what: What it names, for the message.
        text: The text; Python holds bytes that are not UTF-8 as halves of surrogate pairs.

    Raises:
        UsageError: If it contains such bytes, or a null character.
    """
    if "\0" in text:
        raise UsageError(f"{what} '{shown(text)}' contains a null character; expected a name without one")
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise UsageError(
            f"{what} '{shown(text)}' is not in UTF-8, which records are written in; expected UTF-8: {_REMEDY}"
        ) from cause
