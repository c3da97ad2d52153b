"""The steps of docs/submitting.md, run as it stands there; the workflow to copy; the issue form."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.tasks.editions import EDITIONS
from dataset_builders.tasks.regions import TASKS
from dataset_builders.tasks.words import Word
from harness.cli import main
from tests.harness.potentials.molecules import saved, small_mace

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "submitting.md").read_text(encoding="utf-8")
REPO = ROOT / "docs" / "examples" / "results-repo"
COMMANDS = [line[2:] for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def run(command: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable if word == "python" else word for word in shlex.split(command)]
    words = [str(path) for word in words for path in (sorted(directory.glob(word)) if "*" in word else [word])]
    return subprocess.run(
        words,
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An entry of the zero-force guess; do not write to it."""
    folder = tmp_path_factory.mktemp("zero")
    assert main(["--model", "zero", "--task", "task4", "--output", str(folder / "results"), "--quiet"]) == 0
    (run,) = (folder / "results" / "zero").iterdir()
    assert main(["submit", str(run), "--out", str(folder / "entries")]) == 0
    (made,) = (folder / "entries").iterdir()
    return made


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each command of the page printed, in a folder where a small random MACE stands for a trained one."""
    directory = tmp_path_factory.mktemp("road")
    printed = {}
    for command in COMMANDS:
        if " --model export/m.model" in command and not (directory / "export" / "m.model").exists():
            saved(small_mace(), directory / "export" / "m.model")
        finished = run(command, directory)
        assert finished.returncode == 0, f"{command}\n{finished.stderr}"
        printed[command] = finished.stdout
    return {"directory": directory, "printed": printed}


@pytest.mark.slow
def test_the_road_of_the_page_ends_with_a_sound_entry(road: dict[str, Any]) -> None:
    assert len(COMMANDS) == 6
    last = " ".join(road["printed"][COMMANDS[-1]].split())
    assert re.search(r"my-mace-\w{12}: sound, \d+ points? to look at", last)
    assert "mlip-ood.json names task4, from-scratch, no test molecule, and the training frames" in last
    assert "32 frames (seed" in last
    assert "within 1 meV/Å and meV" in last


@pytest.mark.slow
def test_the_folder_of_the_road_is_as_the_page_says(road: dict[str, Any]) -> None:
    (entry,) = (road["directory"] / "entries").iterdir()
    names = {
        re.sub(r"[0-9a-f]{12}", "RUN", str(path.relative_to(entry))) for path in entry.rglob("*") if path.is_file()
    }
    names = {re.sub(r"predictions/.*", "predictions/", name) for name in names}
    assert names == {
        "entry.json",
        *(f"runs/RUN/{name}" for name in ("run.json", "result.json", "mlip-ood.json", "predictions/")),
    }
    assert str(road["directory"]) not in "".join(path.read_text(encoding="utf-8") for path in entry.rglob("*.json"))


def test_the_sizes_of_the_page_are_those_of_predictions() -> None:
    def atoms(words: tuple[Word, ...]) -> int:
        return sum(len(atomic_numbers_of(word.smiles)) for word in words)

    for name, edition in EDITIONS.items():
        sizes = []
        for task in TASKS.values():
            train, ood = task.train_words(), task.ood_words()
            # Of each training molecule, five frames of `train` fix the reference shift.
            n_atoms = (edition.test_id + 5) * atoms(train) + edition.test_ood * atoms(ood)
            n_frames = (edition.test_id + 5) * len(train) + edition.test_ood * len(ood)
            sizes.append((12 * n_atoms + 8 * n_frames) / 1e6)
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [float(cell) for cell in row.split("|")[2:-1]]
        assert cells == [round(size, 1) for size in (*sizes, sum(sizes))]


# The workflow


def steps() -> dict[str, dict[str, Any]]:
    workflow = YAML(typ="safe").load((REPO / ".github" / "workflows" / "verify.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    return {step["name"]: step for step in job["steps"] if "name" in step} | {"job": job, "whole": workflow}


def test_the_workflow_can_change_nothing() -> None:
    found = steps()
    assert found["whole"]["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in str(found["whole"])
    checkout = next(step for step in found["job"]["steps"] if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"]["persist-credentials"] is False
    for step in found["job"]["steps"]:
        assert "${{" not in step.get("run", "")  # an expression there would be pasted into a script
    assert found["Verify"]["working-directory"] == "${{ runner.temp }}"
    assert "python3 -P -m harness verify" in found["Verify"]["run"]


class PullRequest:
    """A repo of results on this machine, and what its workflow does with a change of it."""

    def __init__(self, directory: Path) -> None:
        self.repo, self.temp = directory / "repo", directory / "temp"
        self.temp.mkdir(parents=True)
        shutil.copytree(REPO, self.repo)
        self.git("init", "-q")
        self.base = self.commit()

    def git(self, *words: str) -> str:
        names = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        return subprocess.run(
            ["git", *names, *words], cwd=self.repo, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self) -> str:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        found = steps()
        environment = {
            **os.environ,
            **{key: value for key, value in found["job"]["env"].items() if isinstance(value, str)},
            "BASE": self.base,
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_WORKSPACE": str(self.repo),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{self.temp.parent / 'bin'}:{os.environ['PATH']}",
        }
        (self.temp.parent / "bin").mkdir(exist_ok=True)
        python = self.temp.parent / "bin" / "python3"
        if not python.exists():
            python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            python.chmod(0o755)
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", found[name]["run"]],
            cwd=self.temp if "working-directory" in found[name] else self.repo,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )


@pytest.fixture
def pull(tmp_path: Path) -> PullRequest:
    return PullRequest(tmp_path)


def test_the_workflow_checks_the_entries_of_a_pull_request(entry: Path, pull: PullRequest) -> None:
    shutil.copytree(entry, pull.repo / "entries" / entry.name)
    pull.commit()
    assert pull.step("Find").returncode == 0
    finished = pull.step("Verify")
    assert finished.returncode == 0, finished.stderr
    assert f"### {entry.name}" in (pull.temp / "summary.md").read_text(encoding="utf-8")


def test_the_workflow_refuses_an_entry_that_was_changed_and_runs_no_code_of_it(entry: Path, pull: PullRequest) -> None:
    copy = Path(shutil.copytree(entry, pull.repo / "entries" / entry.name))
    (copy / "harness").mkdir()
    (copy / "harness" / "__init__.py").write_text("raise SystemExit(0)")
    pull.commit()
    pull.step("Find")
    finished = pull.step("Verify")
    assert finished.returncode not in (0, None)
    assert "contains files that it does not list" in finished.stderr


@pytest.mark.parametrize("name", ["harness/__init__.py", ".github/workflows/verify.yml", "mini/task1/x", "README.md"])
def test_entries_and_other_files_do_not_change_together(pull: PullRequest, name: str) -> None:
    (pull.repo / "entries" / "x").mkdir(parents=True)
    (pull.repo / "entries" / "x" / "entry.json").write_text("{}")
    (pull.repo / name).parent.mkdir(parents=True, exist_ok=True)
    (pull.repo / name).write_text("raise SystemExit(0)")
    pull.commit()
    finished = pull.step("Find")
    assert finished.returncode == 1
    assert "entries and other files change together, first" in finished.stderr


def test_names_of_a_pull_request_are_no_shell(pull: PullRequest) -> None:
    for name in ("$(touch owned)", "a b;touch owned", "--help", "x\ny"):
        (pull.repo / "entries" / name).mkdir(parents=True)
        (pull.repo / "entries" / name / "entry.json").write_text("{}")
    pull.commit()
    assert pull.step("Find").returncode == 0
    assert len((pull.temp / "entries").read_bytes().split(b"\0")) == 5
    finished = pull.step("Verify")
    assert "4 of 4 entries are refused" in finished.stderr
    assert not [path for path in (pull.repo, pull.temp) if (path / "owned").exists()]


def test_a_pull_request_without_entries_is_no_failure(pull: PullRequest) -> None:
    (pull.repo / "README.md").write_text("other words")
    pull.commit()
    assert pull.step("Find").returncode == 0
    assert pull.step("Verify").returncode == 0


# The issue form


def test_the_issue_form_is_one() -> None:
    """What GitHub asks of a form: https://docs.github.com/en/communities/using-templates (syntax for issue forms)."""
    form = YAML(typ="safe").load((ROOT / ".github" / "ISSUE_TEMPLATE" / "submission.yml").read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= set(form) <= {"name", "description", "title", "labels", "body"}
    ids = [part["id"] for part in form["body"] if part["type"] != "markdown"]
    assert len(ids) == len(set(ids))
    for part in form["body"]:
        attributes = part["attributes"]
        assert set(part) <= {"type", "id", "attributes", "validations"}
        match part["type"]:
            case "markdown":
                assert set(attributes) == {"value"}
            case "input" | "textarea":
                assert {"label"} <= set(attributes) <= {"label", "description", "placeholder", "value", "render"}
            case "dropdown":
                assert {"label", "options"} <= set(attributes) <= {"label", "description", "options", "multiple"}
                assert len(set(attributes["options"])) == len(attributes["options"])
                assert all(isinstance(option, str) and option != "None" for option in attributes["options"])
            case "checkboxes":
                assert all(set(option) <= {"label", "required"} for option in attributes["options"])
            case other:
                pytest.fail(f"GitHub knows no field of type {other}")
        assert all(isinstance(value, bool) for value in part.get("validations", {}).values())
