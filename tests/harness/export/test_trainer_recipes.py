"""The recipes of `TRAINING.md` run: the trainers of others, on an export of two molecules, for two epochs.

That of MACE runs in `test_tuning.py`, whose fine-tuning starts from its model.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from harness.export.keys import REFERENCE_KEYS
from harness.export.recipe_files import RecipeFiles
from harness.export.trainer_recipes import _TRAINERS, _TUNERS
from tests.harness.export.exporting import export
from tests.harness.export.trainers import block, programs_here, programs_of, run_recipe, section, without_mpi
from tests.harness.training_set import write_training_set

RESULTS = ("--energy-key", "energy", "--forces-key", "forces")
FILES = RecipeFiles("train.extxyz", "validation.extxyz", REFERENCE_KEYS, {"H": -1.0}, 0.5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.mark.parametrize("form", ["extxyz", pytest.param("ase-db", marks=pytest.mark.slow)])
def test_graph_pes(dataset: Path, tmp_path: Path, form: str) -> None:
    out = export(dataset, tmp_path / "out", form)
    run_recipe(out, "graph-pes", programs_here("graph-pes-train", "graph-pes"), without_mpi(tmp_path))
    assert (out / "runs" / "graph-pes" / "model.pt").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("keys", [(), RESULTS], ids=["REF", "results"])
def test_nequip(dataset: Path, tmp_path: Path, keys: tuple[str, ...]) -> None:
    out = export(dataset, tmp_path / "out", "extxyz", *keys)
    run_recipe(out, "NequIP", programs_of("nequip"))
    assert (out / "runs" / "nequip" / "model.nequip.zip").stat().st_size


@pytest.mark.slow
@pytest.mark.parametrize("keys", [(), RESULTS], ids=["REF", "results"])
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
    texts = {title: text(FILES) for title, _, text in _TUNERS}
    tuned = {f"{title}, fine-tuned" for title in ("MACE", "graph-pes", "NequIP", "SevenNet", "SO3LR")}
    assert {title for title, text in texts.items() if "Tested" in text} == tuned
    assert texts["Others, fine-tuned"].startswith("Written from its documentation, not run.")
