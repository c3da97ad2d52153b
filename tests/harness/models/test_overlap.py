"""Lists of training molecules against the molecules of a task."""

import hashlib
from pathlib import Path

import pytest

from dataset_builders.core.errors import UsageError
from dataset_builders.tasks.regions import TASKS
from harness.models.overlap import canonical, list_of, overlap_with, training_molecules


def test_test_molecules_on_a_list_are_named_however_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "list.smi"
    # Butane-1,4-diol with atom maps, glycol in water, ethanol with hydrogens, two that are in no task.
    smiles = "[O:1][CH2:2][CH2:3][CH2:4][CH2:5][OH:6]".replace("[O:1]", "[OH:1]")
    path.write_text(f"# SPICE\n{smiles} name 17\n\nOCCO.O x\n[H]OC([H])([H])C([H])([H])[H]\nc1ccccc1\nC[NH3+]\n")
    molecules = training_molecules(path)
    assert molecules.n_unreadable == 0
    found = overlap_with(molecules, [TASKS["task2"]])
    assert found == {"task2": {"test_id": ("OH-2-H",), "test_ood": ("OH-2-OH", "OH-4-OH")}}
    assert molecules.source.startswith("list.smi (sha256 ")


def test_a_list_may_hold_hashes_only(tmp_path: Path) -> None:
    path = tmp_path / "MACE-OFF23.txt"
    path.write_text("sha256:" + hashlib.sha256(b"OCCO").hexdigest()[:16] + "\n")
    molecules = list_of("MACE-OFF23", tmp_path)
    assert molecules is not None
    assert molecules.in_task(TASKS["task2"]) == {"test_id": (), "test_ood": ("OH-2-OH",)}
    assert list_of("MACE-OFF24", tmp_path) is None
    assert list_of(None, tmp_path) is None


def test_a_charged_form_is_another_molecule() -> None:
    assert canonical("CC(=O)[O-]") != canonical("CC(=O)O")
    assert canonical("no smiles") == ()


def test_a_few_unreadable_lines_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "list.smi"
    path.write_text("smiles\nCCO\nCCC\nC(C)(C)(C)(C)C\n")
    assert training_molecules(path).n_unreadable == 2
    path.write_text("smiles,energy\nCCO,1.0\nCCC,2.0\n")
    assert (training_molecules(path).n_unreadable, len(training_molecules(path).keys)) == (1, 2)
    path.write_text("energy,smiles\n1.0,CCO\n2.0,CCC\n")
    with pytest.raises(UsageError, match=r"3 of 3 lines are no SMILES, such as line 1 \('energy'\)"):
        training_molecules(path)


@pytest.mark.parametrize(("content", "message"), [(b"\n# x\n", "is empty"), (b"\xff\xfe\x00", "cannot be read")])
def test_a_file_that_is_no_list_is_named(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "list.smi"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        training_molecules(path)
