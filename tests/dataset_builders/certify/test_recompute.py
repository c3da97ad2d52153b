import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from dataset_builders.certify import recompute
from dataset_builders.certify.audit import ConfigAudit, certify
from dataset_builders.chemistry import dft
from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX
from dataset_builders.cli import main
from dataset_builders.core.errors import ConvergenceError, DataError, UsageError
from dataset_builders.folder.mini import MINI_DIRECTORY
from tests.dataset_builders.damaged_page import damage_page
from tests.dataset_builders.synthetic_folder import edit_rows


@pytest.fixture
def folder(tmp_path):
    """Two configurations of the embedded edition, to spoil."""
    for config in ("task4", "task2-wb97x"):
        shutil.copytree(MINI_DIRECTORY / config, tmp_path / config)
    return tmp_path


@pytest.fixture
def stored_dft(monkeypatch):
    """Labels of density functionals that take no time: those that are stored, and how often they were asked for."""
    known = {}
    for path in MINI_DIRECTORY.glob("*-*/*.parquet"):
        level = LEVELS_BY_SUFFIX[path.parent.name.partition("-")[2]]
        for row in pq.read_table(path).to_pylist():
            positions = np.array(row["positions"], dtype=np.float32)
            known[level.name, positions.tobytes()] = row["energy"], np.array(row["forces"]).reshape(-1, 3)
    asked = []
    original = recompute.compute_label

    def compute_label(level, numbers, positions):
        asked.append(level.name)
        return original(level, numbers, positions) if level.dft is None else known[level.name, positions.tobytes()]

    monkeypatch.setattr(recompute, "compute_label", compute_label)
    return asked


def _recompute(folder, n_rows, seed=0):
    return recompute.recompute(recompute.plan_recomputation(folder, n_rows, seed))


def test_right_labels_come_back(folder, stored_dft, capsys):
    assert main(["certify", str(folder), "--recompute", "5", "--seed", "4"]) == 0
    shown = capsys.readouterr().out
    assert "5 labels recomputed, of rows drawn with seed 4; largest deviations:" in shown
    assert "GFN2-xTB" in shown
    assert "0.0001" in shown
    assert shown.endswith("\n\ncertified\n")
    assert sorted(set(stored_dft)) == ["gfn2-xtb", "wb97x"]
    assert len(stored_dft) == 5


def test_the_seed_says_which_rows(folder):
    shutil.rmtree(folder / "task2-wb97x")
    deviations = [_recompute(folder, 3, seed).configs[0].force for seed in (0, 0, 1)]
    assert deviations[0] == deviations[1] != deviations[2]
    assert deviations[0] < 1e-6


def test_a_label_that_deviates_refuses_the_certificate(folder, capsys):
    shutil.rmtree(folder / "task2-wb97x")

    def spoil(rows):
        # So little that no other test can see it.
        for row in rows:
            row["forces"] = [1.01 * each for each in row["forces"]]

    for path in (folder / "task4").glob("*.parquet"):
        edit_rows(path, spoil)
    assert certify(folder, with_geometry=False).ok
    assert main(["certify", str(folder), "--recompute", "2"]) == 3
    shown = capsys.readouterr().out
    assert "from recomputed GFN2-xTB; expected at most 0.0001 eV and 0.0001 eV/Å" in " ".join(shown.split())
    assert shown.endswith("\n\nNOT certified\n")


def test_a_label_that_cannot_be_computed(folder, monkeypatch):
    def fails(level, numbers, positions):
        raise ConvergenceError("no end")

    monkeypatch.setattr(recompute, "compute_label", fails)
    problems = _recompute(folder, 1).problems
    assert [each.seen for each in problems] == ["a label that cannot be recomputed: no end"]


def test_a_missing_program_is_told_with_the_command_that_installs_it(folder, monkeypatch, capsys):
    shutil.rmtree(folder / "task4")
    monkeypatch.setattr(dft, "find_spec", lambda name: None)
    assert main(["certify", str(folder), "--recompute", "1"]) == 6
    assert "'pyscf', which is not installed. Install it with: pip install 'mlip-ood[dft]'" in capsys.readouterr().err


def test_more_rows_than_there_are(tmp_path, monkeypatch):
    shutil.copytree(MINI_DIRECTORY / "task2-pbe", tmp_path / "task2-pbe")
    monkeypatch.setattr(
        recompute, "compute_label", lambda level, numbers, positions: (0.0, np.zeros((len(numbers), 3)))
    )
    found = _recompute(tmp_path, 1000)
    assert found.configs[0].n_rows == 96
    assert len(found.problems) == 96


@pytest.mark.parametrize("options", [["0"], ["-3"], ["2", "--seed", "-1"]])
def test_numbers_that_make_no_sense_are_refused_before_a_row_is_read(options, capsys, monkeypatch):
    monkeypatch.setattr(ConfigAudit, "run", lambda audit: pytest.fail("rows were read"))
    assert main(["certify", "mini", "--recompute", *options]) == 2
    assert "expected at least one row and a non-negative seed" in capsys.readouterr().err


def test_a_level_without_a_program(folder, monkeypatch):
    monkeypatch.setattr(recompute, "is_imported", lambda metadata: True)
    monkeypatch.setattr(recompute, "method_of", lambda metadata: "PBE0/def2-SVP")
    shutil.rmtree(folder / "task2-wb97x")
    with pytest.raises(UsageError, match=r"no configuration of .* computed here: task4, labels of PBE0/def2-SVP"):
        _recompute(folder, 1)


def test_a_row_without_atoms_is_a_problem(folder):
    shutil.rmtree(folder / "task2-wb97x")

    def spoil(rows):
        for row in rows:
            row.update(n_atoms=0, atomic_numbers=[], positions=[], forces=[])

    for path in (folder / "task4").glob("*.parquet"):
        edit_rows(path, spoil)
    (problem,) = _recompute(folder, 1).problems
    assert problem.seen == "a row without a valid molecule and labels (it has no atoms)"


def test_a_damaged_page_is_noticed(folder):
    shutil.rmtree(folder / "task2-wb97x")
    for path in (folder / "task4").glob("*.parquet"):
        damage_page(path, "positions")
    with pytest.raises(DataError, match=r"task4/\S+\.parquet cannot be read as Parquet .*CRC checksum .*; build the"):
        _recompute(folder, 1)


def test_a_file_that_is_cut_is_named_before_its_rows_are_drawn(folder):
    path = folder / "task4/test_id-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"test_id-00000-of-00001\.parquet cannot be read as Parquet"):
        _recompute(folder, 5)
