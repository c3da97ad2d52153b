import pytest

from dataset_builders.cli import main


def error_of(capsys, *arguments):
    code = main(list(arguments))
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--edition", "huge"), "unknown edition 'huge'; known editions: mini standard full"),
        (("--task", "task9"), "unknown task 'task9'; known tasks: task1 task2 task3 task4"),
        (("--workers", "0"), "--workers 0; expected 1 or more"),
    ],
)
def test_bad_options_are_named(arguments, message, tmp_path, capsys):
    code, error = error_of(capsys, "build", "--out", str(tmp_path / "out"), *arguments)
    assert code == 2
    assert error.startswith("error: ")
    assert message in error


def test_certify_names_an_absent_folder(tmp_path, capsys):
    code, error = error_of(capsys, "certify", str(tmp_path / "nowhere"))
    assert code == 3
    assert "nowhere" in error


def test_path_prints_the_embedded_edition(capsys):
    from pathlib import Path

    assert main(["path"]) == 0
    assert (Path(capsys.readouterr().out.strip()) / "task1").is_dir()
