"""The parser of one command: help that fits a screen, with examples first and exit codes last."""

import argparse
import shutil
from collections.abc import Sequence
from typing import Any, Final

EXIT_CODES: Final = "exit codes: 0 done, 2 usage, 3 data, 4 model, 5 failed structures, 6 environment, 130 interrupted"
WIDTH: Final = 100
"""Columns that help takes at most."""
_HELP_COLUMN: Final = 28


class OneScreen(argparse.RawDescriptionHelpFormatter):
    """Leaves description and examples as they are written, and aligns the help of all options."""

    def __init__(self, prog: str) -> None:
        width = min(WIDTH, shutil.get_terminal_size().columns)
        super().__init__(prog, max_help_position=_HELP_COLUMN, width=width)

    def add_argument(self, action: argparse.Action) -> None:
        """Adds an argument; argparse forgets that commands are indented once more when it aligns the help."""
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            length = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, length)

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return "N" if action.type in (int, float) else super()._get_default_metavar_for_optional(action)


class CommandParser(argparse.ArgumentParser):
    """The parser of a command among others that share one parser, whose help ends with the exit codes."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"epilog": EXIT_CODES, "formatter_class": OneScreen, **settings})


def option_parser(
    prog: str, arguments: str, description: str, examples: Sequence[str] = (), notes: str = ""
) -> argparse.ArgumentParser:
    """A parser whose help shows usage, description, examples, options and exit codes, in this order.

    Args:
        prog: How the command is called, such as `python -m harness compare`.
        arguments: What follows it in the usage line, such as `RUN_DIR... [options]`.
        description: What the command does.
        examples: Complete command lines.
        notes: What stands between the options and the exit codes.
    """
    shown = [description, *(["examples:"] if examples else []), *(f"  {example}" for example in examples)]
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} {arguments}".rstrip().replace("%", "%%"),
        description="\n".join(shown),
        epilog="\n".join(filter(None, (notes, EXIT_CODES))),
        formatter_class=OneScreen,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    return parser
