import sys
from pathlib import Path

import pytest

from dataset_builders.core.commands import Command, did_you_mean, listed, unknown_command
from dataset_builders.core.errors import UsageError


def test_the_module_of_a_command_is_imported_when_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greeting_command.py").write_text("def main(argv):\n    print(*argv)\n    return 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    command = Command("greeting_command", "says what it was given")
    assert (
        listed({"greet": command, "go": command}) == "  greet  says what it was given\n  go     says what it was given"
    )
    assert "greeting_command" not in sys.modules
    assert command.run(["a", "b"]) == 3
    assert sys.modules.pop("greeting_command")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("biuld", " (did you mean build?)"), ("BUILD", " (did you mean build?)"), ("x", ""), ("", "")],
)
def test_the_nearest_name_is_asked_for(name: str, expected: str) -> None:
    assert did_you_mean(name, ["build", "certify"]) == expected


def test_the_error_lists_all_commands() -> None:
    error = unknown_command("certfy", ["build", "certify"], "python -m tool")
    assert isinstance(error, UsageError)
    assert str(error) == (
        "unknown command 'certfy' (did you mean certify?); commands: build certify. "
        "python -m tool --help describes them"
    )
