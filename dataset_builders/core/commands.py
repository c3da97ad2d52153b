"""The commands of one command line: a table of their names, the help that lists them, and the call of one."""

import difflib
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from dataset_builders.core.errors import UsageError

DISTRIBUTION: Final = "mlip-ood"


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        module: Name of the module with `main(argv) -> int`. It is imported when the command is called, and not before.
        summary: What the command does, in one line.
    """

    module: str
    summary: str

    def run(self, arguments: Sequence[str]) -> int:
        """Runs the command and returns its exit code.

        Raises:
            MlipOodError: As the command does.
        """
        module: Any = importlib.import_module(self.module)
        return int(module.main(arguments))


def version_text() -> str:
    """Name and version of this project."""
    return f"{DISTRIBUTION} {version(DISTRIBUTION)}"


def listed(commands: Mapping[str, Command]) -> str:
    """The commands and their summaries, one a line."""
    longest = max(map(len, commands))
    return "\n".join(f"  {name:<{longest}}  {command.summary}" for name, command in commands.items())


def unknown_command(name: str, known: Iterable[str], prog: str) -> UsageError:
    """The error for a command that does not exist, with the name that comes closest.

    Args:
        name: What the user wrote.
        known: The commands that exist.
        prog: How the command line is called.
    """
    names = tuple(known)
    return UsageError(
        f"unknown command {name!r}{did_you_mean(name, names)}; commands: {' '.join(names)}. {prog} --help describes "
        "them"
    )


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """A question that names the closest of some names; empty where none is close."""
    close = difflib.get_close_matches(name.lower(), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
