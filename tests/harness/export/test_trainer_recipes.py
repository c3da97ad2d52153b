"""The recipes of `TRAINING.md` run: the trainers of others, on an export of two molecules, for two epochs."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.export.keys import REFERENCE_KEYS
from harness.export.trainer_recipes import _TRAINERS, _Files
from harness.worker.family_environments import environments_folder, find_environment
from tests.harness.export.exporting import export
from tests.harness.training_set import write_training_set

CONFIGS = {"graph-pes": "graph-pes.yaml", "NequIP": "nequip.yaml", "SevenNet": "sevennet.yaml"}
SMALLER = {
    "--max_num_epochs 200": "--max_num_epochs 2",
    "--num_channels 64": "--num_channels 4",
    "--device cuda": "--device cpu",
    "max_epochs: 200": "max_epochs: 2",
    "channels: 64": "channels: 8",
    "num_features: 32": "num_features: 4",
    "epoch: 200": "epoch: 2",
    "per_epoch: 10": "per_epoch: 1",
    "channel: 32": "channel: 4",
}
"""What a test changes in a recipe, so that it takes seconds on a CPU."""

TIMEOUT_S = 240
RESULTS = ("--energy-key", "energy", "--forces-key", "forces")
KEYS = [(), pytest.param(RESULTS, marks=pytest.mark.slow)]
FILES = _Files("train.extxyz", "validation.extxyz", REFERENCE_KEYS, {"H": -1.0}, 0.5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


def section(out: Path, title: str) -> str:
    parts = re.split(r"^## ", (out / "TRAINING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return next(part for part in parts if part.partition("\n")[0] == title)


def block(text: str, language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, text
    return found[1]


def run_recipe(out: Path, title: str, programs: Path, variables: Mapping[str, str] | None = None) -> None:
    """Does what a recipe says, with a smaller model and fewer epochs."""
    text = section(out, title)
    for large, small in SMALLER.items():
        text = text.replace(large, small)
    if title in CONFIGS:
        (out / CONFIGS[title]).write_text(block(text, "yaml"))
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    # Without PYTHONPATH, by which other interpreters would find the packages of this one.
    environment = {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **(variables or {})}
    ended = subprocess.run(
        ["bash", "-ec", block(text, "bash")],
        cwd=out,
        env={**environment, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]


def programs_of(family: str) -> Path:
    """Where the programs of a family are that has an environment of its own."""
    environment = find_environment(family)
    if environment is None:
        pytest.skip(f"there is no environment of {family}")
    return environments_folder() / family / "bin"


def programs_here(program: str, family: str) -> Path:
    """Where a program of this environment is."""
    programs = Path(sys.executable).parent
    if not (programs / program).exists():
        pytest.skip(f"{family} is not installed")
    return programs


def test_mace(dataset: Path, tmp_path: Path) -> None:
    out = export(dataset, tmp_path / "out", "extxyz")
    run_recipe(out, "MACE", programs_here("mace_run_train", "mace-torch"))
    assert (out / "runs" / "mace" / "mace.model").stat().st_size


@pytest.mark.parametrize("form", ["extxyz", pytest.param("ase-db", marks=pytest.mark.slow)])
def test_graph_pes(dataset: Path, tmp_path: Path, form: str) -> None:
    # Lightning, which it starts, stops where mpi4py is installed without an MPI library.
    stub = tmp_path / "stub" / "mpi4py"
    stub.mkdir(parents=True)
    (stub / "__init__.py").write_text('raise ImportError("no MPI library")')
    out = export(dataset, tmp_path / "out", form)
    run_recipe(out, "graph-pes", programs_here("graph-pes-train", "graph-pes"), {"PYTHONPATH": str(stub.parent)})
    assert (out / "runs" / "graph-pes" / "model.pt").stat().st_size


@pytest.mark.parametrize("keys", KEYS, ids=["REF", "results"])
def test_nequip(dataset: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    out = export(dataset, tmp_path / "out", "extxyz", *keys)
    run_recipe(out, "NequIP", programs_of("nequip"))
    assert (out / "runs" / "nequip" / "model.nequip.zip").stat().st_size


@pytest.mark.parametrize("keys", KEYS, ids=["REF", "results"])
def test_sevennet(dataset: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    out = export(dataset, tmp_path / "out", "extxyz", *keys)
    run_recipe(out, "SevenNet", programs_of("sevennet"))
    assert (out / "runs" / "sevennet" / "checkpoint_best.pth").stat().st_size


def test_numpy(dataset: Path, tmp_path: Path) -> None:
    out = export(dataset, tmp_path / "out", "npz")
    code = block(section(out, "Your own code"), "python")
    ended = subprocess.run([sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("[")


def test_a_trainer_that_does_not_read_the_format_says_which_it_reads(dataset: Path, tmp_path: Path) -> None:
    out = export(dataset, tmp_path / "out", "npz")
    assert "export with `--format extxyz`" in section(out, "MACE")
    assert "export with `--format lmdb`" in section(out, "fairchem")


def test_no_recipe_claims_a_run_that_no_test_here_makes() -> None:
    tested = {title for title, _, text in _TRAINERS if "Tested with" in text(FILES)}
    assert tested == {"MACE", "graph-pes", "NequIP", "SevenNet"}
    assert "not run" in {title: text(FILES) for title, _, text in _TRAINERS}["fairchem"]
