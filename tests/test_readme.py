"""What the README tells people to run, run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

CONSOLE = [line[2:] for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

# What takes minutes here is run by CI itself (`make`) or made faster, never left out without a reason.
TOO_LONG = {
    "dataset_builders build": "hours: tests/dataset_builders/test_build.py builds a small edition",
    "--model path/to/your.model": "the reader's own file: tests/harness/potentials/test_mace.py makes one",
    "harness train": "most of an hour: tests/harness/test_train.py trains a small network",
    "--model gfn2-xtb": "minutes: run by the slow tests",
}


def run(command, tmp_path):
    words = shlex.split(command)
    assert words[0] == ".venv/bin/python", command
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )


def reason_to_skip(command):
    return next((reason for part, reason in TOO_LONG.items() if part in command), None)


@pytest.mark.parametrize("command", [line for line in CONSOLE if not line.startswith("make ")])
def test_commands_of_the_readme_work(command, tmp_path):
    reason = reason_to_skip(command)
    if reason:
        pytest.skip(reason)
    finished = run(command, tmp_path)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("command", [line for line in CONSOLE if line.startswith("make ")])
def test_make_targets_of_the_readme_exist(command):
    target = command.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("block", PYTHON)
def test_python_of_the_readme_works(block, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    finished = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.slow
def test_the_table_of_controls_is_what_the_command_prints(tmp_path):
    command = next(line for line in CONSOLE if "--model gfn2-xtb" in line)
    finished = run(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    printed = finished.stdout.splitlines()
    for line in printed[: next(i for i, line in enumerate(printed) if line.startswith("data set"))]:
        assert line.strip() in README
