"""Outputs that lack characters: LANG=C, an old terminal, a log file in Latin-1."""

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dataset_builders.cli import main as builders
from dataset_builders.core.console import exit_code_of
from dataset_builders.core.printable import print_json

TEXT = "meV/Å ─┼│ 2.5–3.1 × ± 分 \udce9"
PLAIN = {
    "ascii": b"meV/A -+| 2.5-3.1 x +- ? \xe9\n",
    "latin-1": b"meV/\xc5 -+| 2.5-3.1 \xd7 \xb1 ? \xe9\n",
    "cp1252": b"meV/\xc5 -+| 2.5\x963.1 \xd7 \xb1 ? \xe9\n",
    "utf-8": "meV/Å ─┼│ 2.5–3.1 × ± 分 ".encode() + b"\xe9\n",
}


@contextmanager
def output_of(encoding: str, errors: str = "strict") -> Iterator[Callable[[], bytes]]:
    """Puts a stream of an encoding in the place of standard output; gives the function that tells what was written."""
    before, kept = sys.stdout, io.BytesIO()
    sys.stdout = io.TextIOWrapper(kept, encoding=encoding, errors=errors)

    def written() -> bytes:
        sys.stdout.flush()
        return kept.getvalue()

    try:
        yield written
    finally:
        sys.stdout = before


def say(text: str) -> int:
    print(text)
    return 0


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
@pytest.mark.parametrize("encoding", list(PLAIN))
def test_every_character_is_written_in_some_way(encoding: str, errors: str) -> None:
    with output_of(encoding, errors) as written:
        assert exit_code_of(lambda: say(TEXT)) == 0
        assert written() == PLAIN[encoding]


def test_what_the_user_chose_for_such_characters_stands() -> None:
    with output_of("ascii", "backslashreplace") as written:
        assert exit_code_of(lambda: say("Å")) == 0
        assert written() == b"\\xc5\n"


def test_an_output_without_an_encoding_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = io.StringIO()
    monkeypatch.setattr(sys, "stdout", kept)
    assert exit_code_of(lambda: say(TEXT)) == 0
    assert kept.getvalue() == TEXT + "\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_loses_no_character(encoding: str) -> None:
    document = {"unit": "eV/Å", "path": "/家/model"}
    with output_of(encoding) as written:
        print_json(document)
        print_json(document, indent=2)
        shown = written().decode(encoding)
    first, _, rest = shown.partition("\n")
    assert json.loads(first) == json.loads(rest) == document
    assert ("Å" in shown) == (encoding == "utf-8")


@pytest.mark.parametrize("arguments", [["certify", "mini"], ["--help"], ["publish", "--help"]])
def test_the_commands_of_the_data_set_print_everywhere(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Report:
        ok = True

        def text(self, width: int) -> str:
            return TEXT

    monkeypatch.setattr("dataset_builders.certify.audit.certify", lambda *_, **__: Report())
    with output_of("ascii") as written:
        try:
            code = builders(arguments)
        except SystemExit as end:  # as argparse ends after its help
            code = int(end.code or 0)
        assert code == 0
        assert written()
