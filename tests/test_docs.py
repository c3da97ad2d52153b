"""What README and docs tell people to run, run as it stands there, and the links between the pages."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.card.eval_yaml import eval_yaml
from dataset_builders.folder.mini import MINI_DIRECTORY
from harness.cli import main as harness
from tests.harness.conftest import tiny_dataset  # noqa: F401 (a fixture)
from tests.harness.potentials.molecules import saved, small_mace

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
GENERATED = set((ROOT / "docs" / "results").glob("*/README.md")) | {ROOT / "docs/results/README.md"}
"""Written by `harness study`, and tested where that is."""
PAGES = sorted({README, ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")} - GENERATED)

COVERED = {
    "dataset_builders build": "minutes to hours: tests/dataset_builders/build/test_command.py builds a slice",
    "dataset_builders relabel": "hours of DFT: tests/dataset_builders/relabel/test_relabelled_edition.py",
    "dataset_builders import ": "their files: tests/dataset_builders/importing/test_imported_edition.py",
    "dataset_builders publish": "a built edition: tests/test_hub_story.py publishes mini",
    "dataset_builders certify editions": "a built edition: tests/test_custom_task.py builds and certifies one",
    "model_cards publish leaderboard": "a login to the Hub: tests/model_cards/leaderboard/site/test_site_command.py",
    "model_cards collect": "a study of hours: tests/model_cards/publishing/test_study_rows.py",
    "model_cards publish": "the reader's checkpoint: tests/test_hub_story.py publishes one",
    "harness train": "minutes to an hour: tests/harness/train trains small networks",
    "harness study": "hours: tests/harness/study/test_command.py does a small one",
    "hf upload": "a login to the Hub: tests/test_submitting.py reads predictions of the loopback Hub",
    "task1=A": "trained models: tests/harness/method/test_evaluate.py",
    "results/method/ID": "a measured method: tests/harness/method/test_evaluate.py",
    "results/a/ID": "two measured methods: tests/harness/method/test_evaluate.py",
    "runs/mace-tuned": "what a trainer writes: tests/harness/export/test_tuning.py",
    "--method ": "a trained method: tests/harness/method/test_on_the_hub.py trains, measures and publishes one",
    "harness submit": "a finished run: tests/test_submitting.py goes along the whole page",
    "harness verify": "an entry: tests/test_submitting.py goes along the whole page",
    "export/m.model": "what a trainer writes: tests/test_submitting.py goes along the whole page",
    "--model checkpoints/gaussnet": "a trained plug-in: tests/harness/networks/test_architecture_package.py",
    "harness every-eval-ever RUN_DIR": "a finished run: tests/model_cards/entries/test_every_eval_ever.py",
    "harness ml-peg": "an environment with ml-peg: tests/harness/peg/test_port.py",
    "ml_peg ": "an environment with ml-peg: tests/harness/peg/test_port.py runs all three, with models made there",
    "harness push RUN_DIR": "a login to the Hub: tests/test_hub_story.py pushes a run with its predictions",
    "harness report RUN_DIR": "a finished run: tests/harness/evaluation/test_run.py",
    "harness retract": "a pushed result: tests/model_cards/publishing/test_retract.py",
    "leaderboard --html": "records of a checkout: tests/model_cards/leaderboard/site/test_site_command.py",
    "leaderboard --space": "the Hub: tests/model_cards/leaderboard/site/test_site_command.py",
    "harness leaderboard": "answered by the loopback Hub: below",
    "env create": "minutes of download: tests/harness/worker/test_family_environments.py, and `make test`",
    "--model checkpoints/gemnet": "an environment of its own: tests/harness/potentials/test_fairchem1.py",
    "--isolation strict": "what the system offers: tests/harness/worker/test_confinement.py",
    "--model path/to/": "the reader's file: tests/harness/potentials makes one of each family",
    "--model m.model": "the reader's file: tests/harness/models/test_declared_training.py",
    "--model export/runs/mace": "what a trainer writes: tests/harness/models/test_declared_training.py",
    "--model checkpoints/painn-task5": "what the line before it writes: tests/test_custom_task.py",
    "--model additive-task2": "what the two lines before it write: tests/harness/train/test_fit_controls.py",
    "--model gfn2-xtb": "minutes: run by the slow tests",
    "--model so3lr": "an environment of its own: tests/harness/potentials/test_so3lr.py",
    "--model 7net-0": "an environment of its own: tests/harness/potentials/test_sevennet.py",
    "--model org/mace-off": "answered by the loopback Hub: below",
    "--calculator mymodule": "the reader's module: tests/harness/potentials/test_ase_calculator.py",
    "tests.benchmarks": "a benchmark: it is run by hand, and its output is stated with the machine",
    "pytest -m gpu": "a GPU",
    "certify DIR": "a folder of the reader's: tests/dataset_builders/certify/test_recompute.py",
    "--model MODEL": "a model of the reader's: tests/dataset_builders/importing/test_imported_edition.py evaluates one",
    "sbatch": "Slurm: tests/dataset_builders/build/test_scale_out.py computes the same shares without it",
    "dask ": "a cluster of dask: tests/dataset_builders/engines/test_choice.py starts one here",
    "hf auth login": "a login to the Hub",
    "pip install": "a network; `make demo` installs the same packages",
}
"""Commands that are not run as they stand, by a part of them: what they need, and which test covers them."""

LONG = ("dataset_builders certify mini", "harness compare --model gfn1-xtb", 'evaluate(model="reference"')
"""Commands and blocks that compute for ten seconds and more, by a part of them. The slow tests run them."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    for block in blocks(page, "console"):
        joined = block.replace("\\\n", " ")
        yield from (line[2:] for line in joined.splitlines() if line.startswith("$ "))


COMMANDS = sorted({(command, page.relative_to(ROOT).as_posix()) for page in PAGES for command in commands(page)})
UNIQUE = sorted({command.removeprefix(".venv/bin/") for command, _ in COMMANDS})
IN_PIECES = {
    "python.md": "tests/test_docs_of_interfaces.py runs its blocks one after the other",
    "architectures.md": "tests/harness/networks/test_architecture_package.py runs the package that they are taken from",
}
"""Pages whose blocks of Python are parts of one program."""
PYTHON = sorted({block for page in PAGES if page.name not in IN_PIECES for block in blocks(page, "python")})


def run(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    words = shlex.split(command.removeprefix(".venv/bin/"))
    assert words[0] == "python", command
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )


def run_here(command: str, capsys: pytest.CaptureFixture[str]) -> "subprocess.CompletedProcess[str]":
    """The same in this process and folder, which spares the imports of another one."""
    words = shlex.split(command.removeprefix(".venv/bin/"))
    assert words[:3] == ["python", "-m", "harness"], command
    code = harness(words[3:])
    return subprocess.CompletedProcess(words, code, *capsys.readouterr())


def reason_to_skip(command: str) -> str | None:
    return next((reason for part, reason in COVERED.items() if part in command), None)


def marked(command: str) -> object:
    return pytest.param(command, marks=pytest.mark.slow if any(part in command for part in LONG) else ())


@pytest.mark.parametrize("command", [marked(command) for command in UNIQUE if not command.startswith("make ")])
def test_commands_work(command, tmp_path):
    reason = reason_to_skip(command)
    if reason:
        pytest.skip(reason)
    finished = run(command, tmp_path)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("part", COVERED)
def test_no_reason_is_left_over(part):
    assert any(part in command for command in UNIQUE), f"no command has {part!r}; take its reason out"


@pytest.mark.parametrize("part", LONG)
def test_nothing_is_called_long_that_is_not_there(part):
    assert any(part in each for each in (*UNIQUE, *PYTHON)), f"no command or block has {part!r}; take it out"


@pytest.mark.parametrize("reason", COVERED.values(), ids=COVERED)
def test_the_tests_that_reasons_name_are_there(reason):
    for path in re.findall(r"tests/[\w/.]+\w", reason):
        assert (ROOT / path).exists(), path


def test_make_targets_exist():
    for target in {command.split()[1] for command in UNIQUE if command.startswith("make ")}:
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


@pytest.mark.parametrize("block", [*map(marked, PYTHON)])
def test_python_works(block, tmp_path, monkeypatch, hub):
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


def anchors(page: Path) -> set[str]:
    """The anchors of a page, as the Hub and GitHub make them of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 250


def test_every_page_is_listed():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in ("README.md", "index.md"))
    assert [name for name in pages if f"({name})" not in index] == []


def test_commands_on_the_hub_work(tmp_path, monkeypatch, capsys, hub, tiny_dataset):  # noqa: F811
    """What the README says of models and results on the Hub, with a small MACE and a few molecules in their place."""
    data = {path.relative_to(tiny_dataset).as_posix(): path.read_bytes() for path in tiny_dataset.rglob("*.parquet")}
    hub.add_repo("compgen/mlip-ood", "dataset", {**data, "eval.yaml": eval_yaml(["task1", "task4"]).encode()})
    energies = np.array([[-13.6, -1029.3, -1484.3, -2041.4, -2713.5]])
    mace = small_mace(num_elements=5, atomic_numbers=[1, 6, 7, 8, 9], atomic_energies=energies)
    hub.add_repo("org/mace-off", files={"small.model": saved(mace, tmp_path / "small.model").read_bytes()})
    hub.add_user("ann", orgs={"org": "write"})
    hub.log_in("ann")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    evaluate, push, leaderboard = (
        line for line in commands(README) if "org/mace-off" in line or "harness leaderboard" in line
    )
    assert evaluate.endswith("--model org/mace-off")
    monkeypatch.chdir(tmp_path)
    refused = run_here(evaluate, capsys)
    assert refused.returncode == 4
    assert "add --trust-checkpoint" in refused.stderr
    pushed = run(push, tmp_path)
    assert pushed.returncode == 0, pushed.stderr
    assert f"org/mace-off: {hub.endpoint}/org/mace-off/commit/" in pushed.stdout
    ranked = run_here(leaderboard, capsys)
    assert ranked.returncode == 0, ranked.stderr
    assert "org/mace-off" in ranked.stdout


@pytest.mark.slow
def test_the_table_of_controls_is_what_the_command_prints(tmp_path):
    page = ROOT / "docs" / "metrics.md"
    command = next(line for line in commands(page) if "--model gfn2-xtb" in line)
    finished = run(command, tmp_path)
    assert finished.returncode == 0, finished.stderr
    table, _, _ = finished.stdout.partition("\n\n")
    assert f"```text\n{table}\n```" in page.read_text(encoding="utf-8")
