"""Colours and width of the terminal, as the environment asks for them."""

import io
import os
import sys
from collections.abc import Sequence

import pytest

from dataset_builders.core.terminal import console, notes, shows_colours, terminal_width, wrapped


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, True, False),
        ({"FORCE_COLOR": ""}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_colours(variables: dict[str, str], is_terminal: bool, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    stream = _Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert shows_colours() is expected
    from rich.text import Text

    console().print(Text("x", "bold red"))
    assert ("\x1b[" in stream.getvalue()) is expected


def test_a_closed_output_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", None)
    assert not shows_colours()
    console().print("x")


@pytest.mark.parametrize(
    ("columns", "size", "expected"),
    [("120", 90, 120), ("", 90, 90), ("0", 90, 90), ("wide", 90, 90), ("", None, 80), ("", 0, 80)],
)
def test_width(columns: str, size: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def size_of(descriptor: int) -> os.terminal_size:
        if size is None:
            raise OSError("no terminal")
        return os.terminal_size((size, 24))

    monkeypatch.setattr(os, "get_terminal_size", size_of)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "dumb")
    assert terminal_width() == expected
    assert console().width == expected


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two three", 7, ["one two", "  three"]),
        ("  one two", 7, ["  one", "    two"]),
        ("a path/that/is/long b", 8, ["a", "  path/that/is/long", "  b"]),
        ("", 8, [""]),
        ("分子 分子", 7, ["分子", "  分子"]),
        ("one\ntwo", 20, ["one", "two"]),
    ],
)
def test_running_text(text: str, width: int, lines: Sequence[str]) -> None:
    assert wrapped(text, width) == lines


def test_cautions_stand_out_and_steer_no_terminal() -> None:
    plain, caution = notes(["x\x1b[2J", "caution: y"], 80)
    assert (plain.plain, str(plain.style)) == ("x\N{REPLACEMENT CHARACTER}[2J", "")
    assert str(caution.style) == "yellow"
