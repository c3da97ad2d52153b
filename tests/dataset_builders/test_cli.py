from importlib.metadata import version

import pytest

from dataset_builders.cli import COMMANDS, main
from dataset_builders.core.option_parser import EXIT_CODES
from model_cards.cli import COMMANDS as CARD_COMMANDS
from model_cards.cli import main as cards
from tests.dataset_builders.synthetic_folder import path_of, write_folder


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


def test_a_seed_without_rows_to_choose_is_refused(capsys):
    code, error = error_of(capsys, "certify", "mini", "--seed", "3")
    assert code == 2
    assert "--seed 3 without --recompute chooses nothing; add --recompute N, or omit --seed" in error


def test_certify_leaves_out_the_geometry_if_asked(tmp_path, capsys):
    folder = str(write_folder(tmp_path / "out"))
    assert main(["certify", folder, "--without-geometry"]) == 0
    text = capsys.readouterr().out
    assert "Geometric support was not measured" in text
    assert "rotamer seen" not in text


def test_path_prints_the_embedded_edition(capsys):
    from pathlib import Path

    assert main(["path"]) == 0
    assert (Path(capsys.readouterr().out.strip()) / "task1").is_dir()


def test_publish_says_where_it_is(hub, no_waiting, tmp_path, capsys):
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    folder = str(write_folder(tmp_path / "out"))
    assert main(["publish", folder, "compgen/small", "--revision-tag", "v1.0"]) == 0
    assert capsys.readouterr().out.endswith("python -m harness --model MODEL --dataset compgen/small@v1.0\n")
    assert main(["publish", folder, "compgen/small", "--revision-tag", "v1.0", "--dry-run"]) == 0
    assert "already has these files: no new commit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("nowhere", "org/name"), 3, "nowhere is not a folder"),
        (("mini", "name"), 2, "'name' is not an id on the Hub; expected ORG/NAME"),
        (("mini", "org/name", "--revision-tag", "v 1"), 2, "--revision-tag 'v 1' is not a valid tag"),
        (("mini", "org/name", "--revision-tag", "v1", "--create-pr"), 2, "set it after merging"),
    ],
)
def test_publish_refuses_what_it_cannot_do(arguments, code, message, capsys):
    found, error = error_of(capsys, "publish", "--dry-run", *arguments)
    assert found == code
    assert message in error


def test_publish_shows_the_report_of_an_uncertified_folder(hub, tmp_path, capsys):
    folder = write_folder(tmp_path / "out")
    path_of(folder, "task2", "test_id").unlink()
    hub.add_user("ann")
    hub.log_in("ann")
    code, error = error_of(capsys, "publish", str(folder), "ann/small")
    assert code == 3
    assert "no file of test_id" in error
    assert "NOT certified" in error
    assert hub.log == []


@pytest.mark.parametrize(("tool", "wrong", "nearest"), [(main, "biuld", "build"), (cards, "crad", "card")])
def test_an_unknown_command_names_the_nearest(tool, wrong, nearest, capsys):
    assert tool([wrong]) == 2
    assert f"error: unknown command {wrong!r} (did you mean {nearest}?); commands: " in capsys.readouterr().err


@pytest.mark.parametrize("tool", [main, cards])
def test_the_version_is_that_of_the_package(tool, capsys):
    assert tool(["--version"]) == 0
    assert capsys.readouterr().out == f"mlip-ood {version('mlip-ood')}\n"


@pytest.mark.parametrize(("tool", "commands"), [(main, COMMANDS), (cards, CARD_COMMANDS)])
def test_help_fits_a_screen_and_ends_with_the_exit_codes(tool, commands, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    for command in ("", *commands):
        with pytest.raises(SystemExit, match="0"):
            tool([*command.split(), "--help"])
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= (44 if command == "relabel" else 40)
        assert lines[0].split()[1:4] == ["python", "-m", tool.__module__.split(".")[0]]
        if command:
            assert lines[-1] == EXIT_CODES
        else:
            assert "examples:" in lines
            assert [line.split()[0] for line in lines if line.startswith("    ")] == list(commands)
