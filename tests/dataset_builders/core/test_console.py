"""A command whose output is closed early ends without a message; any other broken pipe is an error."""

import os
import subprocess
import sys

import pytest

from dataset_builders.core.console import EXIT_CLOSED_OUTPUT

IN_PROCESS = "import sys; from dataset_builders.core.console import exit_code_of; sys.exit(exit_code_of({}))"
TABLE = "lambda: __import__('rich.console').console.Console(width=40).print('x' * 99) or 0"


def closed_output(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with a standard output that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [sys.executable, *arguments], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "harness", "--help"),
        ("-m", "dataset_builders", "path"),
        ("-m", "model_cards", "--version"),
        ("-c", IN_PROCESS.format("lambda: print('x' * 1_000_000) or 0")),
        ("-c", IN_PROCESS.format(TABLE)),
    ],
    ids=["help", "path", "version", "more than a buffer", "table"],
)
def test_a_closed_output_ends_a_command_quietly(arguments: tuple[str, ...]) -> None:
    finished = closed_output(*arguments)
    assert (finished.stderr, finished.returncode) == ("", EXIT_CLOSED_OUTPUT)


def test_the_help_of_a_command_ends_quietly() -> None:
    """Argparse ignores a closed output itself if the text fills a buffer."""
    finished = closed_output("-m", "harness", "compare", "--help")
    assert finished.stderr == ""
    assert finished.returncode in (0, EXIT_CLOSED_OUTPUT)


def test_an_error_is_still_printed_if_the_output_is_closed() -> None:
    finished = closed_output("-m", "harness", "no-such-command")
    assert finished.returncode == 2
    assert "error: unknown command" in finished.stderr


def test_another_broken_pipe_is_an_error() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", IN_PROCESS.format("lambda: (_ for _ in ()).throw(BrokenPipeError('a worker'))")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "BrokenPipeError: a worker" in finished.stderr
