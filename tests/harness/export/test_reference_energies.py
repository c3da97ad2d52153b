import ast
import json
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.chemistry.isolated_atoms import ISOLATED_ATOMS
from harness.export.reference_energies import TrainStatistics, energies_text, forms, isolated_energies
from harness.train.task_data import fit_reference_energies
from tests.harness.export.exporting import export, rows_of
from tests.harness.training_set import write_training_set


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export("mini", tmp_path_factory.mktemp("mini") / "out", "npz", task="task3")


def test_energies_are_those_of_the_training(mini: Path) -> None:
    from dataset_builders.folder.mini import MINI_DIRECTORY
    from harness.train.task_data import pin_training_files, read_training_split

    document = json.loads((mini / "reference_energies.json").read_text())
    train = read_training_split(pin_training_files(MINI_DIRECTORY, "task3"), "task3", "train")
    elements = tuple(np.unique(train.atomic_numbers).tolist())
    energies, rank = fit_reference_energies(train, elements)
    assert document["elements"] == ["H", "C", "N", "O", "Cl"]
    assert list(document["least_squares"].values()) == pytest.approx(energies.tolist(), rel=1e-11)
    assert (document["least_squares_rank"], document["least_squares_caution"]) == (rank, None)
    assert document["force_rms"] == pytest.approx(np.sqrt(np.mean(np.square(train.forces, dtype=np.float64))))
    isolated = ISOLATED_ATOMS["gfn2-xtb"]
    assert document["isolated_atoms"] == {symbol: isolated[symbol] for symbol in document["elements"]}
    assert document["no_isolated_atoms_because"] is None


def test_pieces_do_not_change_the_fit(tmp_path: Path) -> None:
    rows = rows_of(write_training_set(tmp_path / "toy"), "train")
    whole, halves = TrainStatistics(), TrainStatistics()
    list(whole.counting([rows]))
    list(halves.counting([rows, rows]))
    assert halves.fit().energies == pytest.approx(whole.fit().energies)
    assert halves.fit().force_rms == pytest.approx(whole.fit().force_rms)


def test_what_frames_do_not_determine_is_reported(tmp_path: Path) -> None:
    """Two molecules cannot fix the energies of three elements."""
    rows = rows_of(write_training_set(tmp_path / "toy"), "train")
    statistics = TrainStatistics()
    list(statistics.counting([rows]))
    fitted = statistics.fit()
    energies, rank = fit_reference_energies(rows, (1, 6, 8))
    assert fitted.energies == pytest.approx(energies)
    assert fitted.rank == rank == 2
    document = json.loads(energies_text("MMFF94", fitted))
    assert "rank 2, but there are 3 elements" in document["least_squares_caution"]
    assert document["isolated_atoms"] is None
    assert document["forms"]["isolated_atoms"] is None
    assert "those of MMFF94 are not known:" in document["no_isolated_atoms_because"]


def test_isolated_atoms_of_a_level_and_of_its_elements_alone() -> None:
    assert isolated_energies("GFN2-xTB", ["H"]) == ({"H": ISOLATED_ATOMS["gfn2-xtb"]["H"]}, None)
    assert isolated_energies("wB97X/6-31G(d)", ["C"])[0] == {"C": ISOLATED_ATOMS["wb97x"]["C"]}
    energies, reason = isolated_energies("GFN2-xTB", ["H", "Br"])
    assert energies is None
    assert reason is not None
    assert "those of Br at GFN2-xTB" in reason


def test_forms_of_the_trainers() -> None:
    found = forms({"H": -1.5, "C": -2.25, "Cl": -3.125})
    assert found["mace"] == "{1: -1.5, 6: -2.25, 17: -3.125}"
    assert ast.literal_eval(found["mace"]) == {1: -1.5, 6: -2.25, 17: -3.125}
    assert found["nequip"] == found["graph-pes"] == {"H": -1.5, "C": -2.25, "Cl": -3.125}
    assert found["sevennet"] == [-2.25, -3.125, -1.5]  # C Cl H
    assert len(found["fairchem"]) == 100
    assert {number: energy for number, energy in enumerate(found["fairchem"]) if energy} == {
        1: -1.5,
        6: -2.25,
        17: -3.125,
    }
