"""What the README tells people to run, run as it stands there."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.folder.mini import MINI_DIRECTORY
from tests.harness.conftest import tiny_dataset  # noqa: F401 (a fixture)
from tests.harness.potentials.molecules import saved, small_mace

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

CONSOLE = [line[2:] for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

# What takes minutes here is run by CI itself (`make`) or made faster, never left out without a reason.
TOO_LONG = {
    "dataset_builders build": "hours: tests/dataset_builders/build/test_command.py builds a slice",
    "dataset_builders relabel": "hours of density functional theory: relabel/test_relabelled_edition.py",
    "--model path/to/your.model": "the reader's own file: tests/harness/potentials/test_mace.py makes one",
    "--model path/to/ani2x": "the reader's own file: tests/harness/potentials/test_torchani.py reads one",
    "--model export/runs/mace": "what a trainer writes: tests/harness/models/test_declared_training.py does that",
    "--model checkpoints/painn-task5": "what the line before it writes: tests/test_custom_task.py does all three",
    "harness train": "minutes to an hour: tests/harness/train/test_train.py and its neighbours train small networks",
    "harness study": "hours: tests/harness/study/test_command.py does a small one",
    "--model additive-task2": "what the two lines before it write: tests/harness/train/test_fit_controls.py loads some",
    "--model gfn2-xtb": "minutes: run by the slow tests",
    "dataset_builders import": "the reader's own files: importing/test_imported_edition.py makes some",
    "dataset_builders publish": "an edition that takes hours to build: tests/test_hub_story.py publishes mini",
    "model_cards publish": "the reader's own checkpoint: tests/test_hub_story.py publishes one",
    "env create": "a download of minutes: tests/harness/worker/test_family_environments.py, and `make test`",
    "--model 7net-0": "an environment of its own: tests/harness/potentials/test_sevennet.py",
    "--push": "answered by the Hub on this machine: below",
    "--model org/mace-off": "answered by the Hub on this machine: below",
    "harness leaderboard": "answered by the Hub on this machine: below",
}
ON_THE_HUB = [line for line in CONSOLE if "org/mace-off" in line or "harness leaderboard" in line]


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
def test_python_of_the_readme_works(block, tmp_path, monkeypatch, hub):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    files = {
        path.relative_to(MINI_DIRECTORY).as_posix(): path.read_bytes()
        for path in MINI_DIRECTORY.rglob("*")
        if path.is_file()
    }
    hub.add_repo("compgen/mlip-ood", kind="dataset", files=files)
    finished = subprocess.run(
        [sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_commands_on_the_hub_work(tmp_path, monkeypatch, hub, tiny_dataset):  # noqa: F811
    """What the README says of models and results on the Hub, with a small MACE and a few molecules in their place."""
    data = {path.relative_to(tiny_dataset).as_posix(): path.read_bytes() for path in tiny_dataset.rglob("*.parquet")}
    hub.add_repo("compgen/mlip-ood", "dataset", {**data, "eval.yaml": eval_yaml(["task1", "task4"]).encode()})
    energies = np.array([[-13.6, -1029.3, -1484.3, -2041.4, -2713.5]])
    mace = small_mace(num_elements=5, atomic_numbers=[1, 6, 7, 8, 9], atomic_energies=energies)
    hub.add_repo("org/mace-off", files={"small.model": saved(mace, tmp_path / "small.model").read_bytes()})
    hub.add_user("ann", orgs={"org": "write"})
    hub.log_in("ann")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    evaluate, push, leaderboard = ON_THE_HUB
    assert evaluate.endswith("--model org/mace-off")
    refused = run(evaluate, tmp_path)
    assert refused.returncode == 4
    assert "add --trust-checkpoint" in refused.stderr
    pushed = run(push, tmp_path)
    assert pushed.returncode == 0, pushed.stderr
    assert f"org/mace-off: {hub.endpoint}/org/mace-off/commit/" in pushed.stdout
    ranked = run(leaderboard, tmp_path)
    assert ranked.returncode == 0, ranked.stderr
    assert "org/mace-off" in ranked.stdout


@pytest.mark.slow
def test_the_table_of_controls_is_what_the_command_prints(tmp_path):
    command = next(line for line in CONSOLE if "--model gfn2-xtb" in line)
    finished = run(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    printed = finished.stdout.splitlines()
    for line in printed[: next(i for i, line in enumerate(printed) if line.startswith("data set"))]:
        assert line.strip() in README
