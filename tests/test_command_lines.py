"""Command lines of any words: an exit code of the project and one line of error, never a traceback."""

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataset_builders.cli
import harness.cli
import model_cards.cli

PROGRAMS = {
    "harness": harness.cli.main,
    "dataset_builders": dataset_builders.cli.main,
    "model_cards": model_cards.cli.main,
}
COMMANDS = {
    "harness": (*harness.cli.COMMANDS, "", "comand", "\ud800"),
    "dataset_builders": (*dataset_builders.cli.COMMANDS, "export", "", "comand", "\ud800"),
    "model_cards": (*model_cards.cli.COMMANDS, "", "comand", "\ud800"),
}
READING = ("report", "verify", "submit", "push", "every-eval-ever", "certify", "hashes", "card")
"""Commands that need a folder that exists before they do anything; the others get an option that none has."""
OPTIONS = tuple(
    f"--{name}"
    for name in [
        "model",
        "dataset",
        "task",
        "output",
        "labels",
        "device",
        "dtype",
        "batch-atoms",
        "method",
        "trained-on",
        "protocol",
        "base",
        "level-of-theory",
        "training-smiles",
        "family",
        "head",
        "threads",
        "edition",
        "seed",
        "engine",
        "task-file",
        "out",
        "arch",
        "budget",
        "config",
        "set",
        "seeds",
        "format",
        "json",
        "spot-check",
        "run",
        "results-repo",
        "isolation",
        "shard",
        "frames",
    ]
)
VALUES = (
    *("/nowhere", "zero", "task1", "task9", "pbe", "cpu:7", "float16", "10parsecs", "1/0", "test_ood=9", "file:///etc"),
    *(
        "",
        " ",
        "-1",
        "0",
        "1e999",
        "nan",
        "９",
        "a=b",
        "=",
        "\x00",
        "\ud800",
        "\u202e",
        "../..",
        "~nobody",
        "[",
        "{}",
        "%s",
    ),
    *("--", "-", "@", "9" * 5000, "x" * 500),
)
WORDS = st.lists(st.sampled_from(OPTIONS) | st.sampled_from(VALUES), max_size=5)


@pytest.mark.parametrize("program", PROGRAMS)
@given(data=st.data(), words=WORDS)
def test_any_words_end_with_a_code_and_a_line(program: str, data: st.DataObject, words: list[str]) -> None:
    """The codes that `--help` lists, and an error that says something."""
    command = data.draw(st.sampled_from(COMMANDS[program]))
    arguments = [*([command] if command else []), *words]
    arguments += ["/nowhere/data"] if command in READING else ["--no-such-option"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = PROGRAMS[program](arguments)
        except SystemExit as end:
            code = end.code
    assert code in (2, 3, 4, 6), (arguments, err.getvalue())
    assert "Traceback" not in err.getvalue()
    assert err.getvalue().strip()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("command", [["--model"], ["build", "--out"], ["card", "--result"]])
def test_a_name_that_is_not_in_utf8_is_refused_before_anything_is_read(
    program: str, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert PROGRAMS[program]([*command, "m\udce9"]) == 2
    error = capsys.readouterr().err
    assert "error: the argument 'm\N{REPLACEMENT CHARACTER}' is not in UTF-8" in error
    assert "rename the file or folder" in error
