"""A training whose network has an environment of its own continues there; the environment is a script that answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builders.core.errors import SetupError
from harness.worker import replaced_process
from harness.worker.family_environments import ENVIRONMENTS, ENVIRONMENTS_VARIABLE, interpreter_of, lock_of
from harness.worker.replaced_process import continue_in_environment

SCRIPT = """#!/bin/sh
echo "arguments: $*"
echo "process: $$"
ls -1 "$PYTHONPATH"
exit 7
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(ENVIRONMENTS_VARIABLE, str(tmp_path))
    directory = tmp_path / "fairchem1"
    python = interpreter_of(directory)
    python.parent.mkdir(parents=True)
    python.write_text(SCRIPT)
    python.chmod(0o755)
    requirements = list(ENVIRONMENTS["fairchem1"].requirements)
    stamp = {"requirements": requirements, "lock": lock_of("fairchem1"), "packages": {}}
    (directory / "mlip-ood.json").write_text(json.dumps(stamp))
    return directory


def started(*arguments: str, cwd: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "harness", "train", *arguments]
    return subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "PYTHONHOME": "", "VIRTUAL_ENV": "/other"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_same_command_runs_there_as_the_same_process(environment: Path, tmp_path: Path) -> None:
    for arguments in (["--arch", "GemNet", "--task", "task2", "--out", "a folder"], ["--task", "task1", "--arch=esen"]):
        process = started(*arguments, cwd=environment)
        output, errors = process.communicate()
        assert (process.returncode, errors) == (7, "")
        assert output.splitlines() == [
            f"arguments: -P -m harness train {' '.join(arguments)}",
            f"process: {process.pid}",
            "dataset_builders",
            "harness",
            "model_cards",
        ]


def test_other_networks_stay_here(environment: Path) -> None:
    process = started("--arch", "painn", "--task", "task2", "--dataset", "absent-folder", cwd=environment)
    output, errors = process.communicate()
    assert process.returncode not in (0, 7)
    assert output == ""
    assert "absent-folder" in errors


def test_the_environment_itself_goes_on(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaced_process.sys, "prefix", str(environment))
    continue_in_environment("fairchem1", "training gemnet", ["train"])


def test_a_missing_environment_is_reported_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENTS_VARIABLE, str(tmp_path))
    with pytest.raises(
        SetupError, match=r"^training gemnet needs a separate environment.*: python -m harness env create fairchem1$"
    ):
        continue_in_environment("fairchem1", "training gemnet", ["train"])


def test_an_environment_that_cannot_run_is_reported(environment: Path) -> None:
    interpreter_of(environment).chmod(0o644)
    with pytest.raises(SetupError, match=r"training gemnet cannot run in .*Permission denied.*env remove fairchem1"):
        continue_in_environment("fairchem1", "training gemnet", ["train"])
