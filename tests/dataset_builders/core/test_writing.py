"""Full and read-only disks, as commands meet them."""

import errno
import os
from pathlib import Path

import pytest

from dataset_builders.core.console import exit_code_of
from dataset_builders.core.errors import SetupError
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.core.writing import writing


def test_a_full_disk_names_the_place_and_how_to_go_on() -> None:
    message = (
        "cannot write to out: No space left on device; free some space and run the same command again, which keeps "
        "finished work, or choose another --out"
    )
    with pytest.raises(SetupError, match=f"^{message}$"), writing(Path("out"), "choose another --out"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_of_somebody_else_is_not_full() -> None:
    with (
        pytest.raises(SetupError, match=r"^cannot write to out: Permission denied; choose another --out$"),
        writing(Path("out"), "choose another --out"),
    ):
        raise OSError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_command_that_cannot_write_ends_with_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    """The error of a write to an open file names no file; that of `whole_file` does."""

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    def command() -> int:
        write_text_whole(tmp_path / "card.md", "text")
        return 0

    monkeypatch.setattr(Path, "write_text", full)
    assert exit_code_of(command) == SetupError.exit_code
    said = capsys.readouterr().err
    assert said.startswith(
        f"error: cannot write {tmp_path / 'card.md'}: {os.strerror(number)}; free some space or choo"
    )
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_no_refused_write_stays_unexpected() -> None:
    def command() -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file", "gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        exit_code_of(command)
