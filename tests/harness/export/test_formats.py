"""Every format, read back with the library that its readers use, is the rows of the data set to the last bit."""

import sys
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.io.extxyz import read_xyz

from dataset_builders.core.errors import MissingPackageError, UsageError
from harness.data.rows import SplitRows
from harness.export.formats import FORMATS, keys_of
from harness.export.keys import LabelKeys
from tests.harness.export.exporting import TRAINING, export, rows_of, same_bits
from tests.harness.training_set import write_training_set


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


def require_same(
    frames: list[Atoms], rows: SplitRows, labels: Callable[[Atoms], tuple[float, np.ndarray]], *, whole: bool = False
) -> None:
    assert len(frames) == len(rows)
    for row, atoms in enumerate(frames):
        here = slice(rows.offsets[row], rows.offsets[row + 1])
        energy, forces = labels(atoms)
        assert atoms.numbers.tolist() == rows.atomic_numbers[here].tolist()
        assert same_bits(atoms.positions, rows.positions[here])
        assert same_bits(forces, rows.forces[here])
        assert energy == rows.energy[row]
        assert not atoms.pbc.any()
        if whole:  # as float64 too, without any rounding
            assert (atoms.positions == rows.positions[here].astype(np.float64)).all()


def of_calculator(atoms: Atoms) -> tuple[float, np.ndarray]:
    return atoms.get_potential_energy(), atoms.get_forces()


@pytest.mark.parametrize("split", TRAINING)
def test_extxyz_with_the_keys_of_mace(dataset: Path, tmp_path: Path, split: str) -> None:
    out, rows = export(dataset, tmp_path / "out", "extxyz"), rows_of(dataset, split)
    frames = ase.io.read(out / f"{split}.extxyz", ":")
    require_same(frames, rows, lambda atoms: (atoms.info["REF_energy"], atoms.arrays["REF_forces"]))
    for atoms, molecule, trajectory, frame in zip(frames, rows.molecule_id, rows.trajectory, rows.frame, strict=True):
        assert atoms.calc is None
        assert {name: atoms.info[name] for name in ("molecule_id", "trajectory", "frame", "charge", "spin")} == {
            "molecule_id": molecule,
            "trajectory": trajectory,
            "frame": frame,
            "charge": 0,
            "spin": 1,
        }


@pytest.mark.parametrize("split", TRAINING)
def test_extxyz_with_the_results_of_a_calculator(dataset: Path, tmp_path: Path, split: str) -> None:
    out = export(dataset, tmp_path / "out", "extxyz", "--energy-key", "energy", "--forces-key", "forces")
    require_same(ase.io.read(out / f"{split}.extxyz", ":"), rows_of(dataset, split), of_calculator)


def test_small_numbers_keep_their_bits_in_extxyz(tmp_path: Path, dataset: Path) -> None:
    """Eight decimals, as ASE writes, would lose them."""
    rows = rows_of(dataset, "train")
    random = np.random.default_rng(0)
    n_atoms = int(rows.n_atoms[0])
    small = (random.normal(size=(n_atoms, 3)) * 10.0 ** random.integers(-30, 3, size=(n_atoms, 3))).astype(np.float32)
    small[0] = [np.float32(-0.0), np.finfo(np.float32).tiny, np.nextafter(np.float32(0), np.float32(1))]
    one = SplitRows(
        **{
            name: getattr(rows, name)[:1]
            for name in ("molecule_id", "smiles", "left", "right", "subset", "trajectory", "spacer", "frame", "n_atoms")
        },
        atomic_numbers=rows.atomic_numbers[:n_atoms],
        positions=small,
        energy=np.array([-16234.567890123456]),
        forces=small[::-1].copy(),
    )
    FORMATS["extxyz"].write(tmp_path / "one.extxyz", [one], LabelKeys("energy", "forces"))
    with (tmp_path / "one.extxyz").open() as stream:
        require_same(list(read_xyz(stream, slice(None))), one, of_calculator)


@pytest.mark.parametrize("split", TRAINING)
def test_the_data_base_of_ase(dataset: Path, tmp_path: Path, split: str) -> None:
    out, rows = export(dataset, tmp_path / "out", "ase-db"), rows_of(dataset, split)
    with connect(out / f"{split}.db", use_lock_file=False) as database:
        found = list(database.select())
        of_alcohol = database.count(molecule_id=str(rows.molecule_id[0]))
    require_same([row.toatoms() for row in found], rows, of_calculator, whole=True)
    assert [(row.molecule_id, row.smiles, row.trajectory, row.frame) for row in found] == list(
        zip(rows.molecule_id, rows.smiles, rows.trajectory, rows.frame, strict=True)
    )
    assert all(row.data == {"charge": 0, "spin": 1} for row in found)
    assert of_alcohol == (rows.molecule_id == rows.molecule_id[0]).sum()


@pytest.mark.parametrize("split", TRAINING)
def test_lmdb_of_ase(dataset: Path, tmp_path: Path, split: str) -> None:
    pytest.importorskip("ase_db_backends")
    out, rows = export(dataset, tmp_path / "out", "lmdb"), rows_of(dataset, split)
    place = out / split / "data.aselmdb"
    with connect(place, use_lock_file=False, readonly=True) as database:
        assert len(database) == len(rows)
        found = [database._get_row(number) for number in range(1, len(rows) + 1)]
    require_same([row.toatoms() for row in found], rows, of_calculator, whole=True)
    assert [(row.molecule_id, row.frame) for row in found] == list(zip(rows.molecule_id, rows.frame, strict=True))
    assert all(row.data == {"charge": 0, "spin": 1} for row in found)
    assert np.load(out / split / "metadata.npz")["natoms"].tolist() == rows.n_atoms.tolist()


def test_mace_reads_the_lmdb(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("ase_db_backends")
    pytest.importorskip("mace")
    from mace.tools.fairchem_dataset import AseDBDataset

    out, rows = export(dataset, tmp_path / "out", "lmdb"), rows_of(dataset, "train")
    found = AseDBDataset({"src": [str(out / "train" / "data.aselmdb")]})
    require_same([found.get_atoms(each) for each in found.ids], rows, of_calculator, whole=True)
    assert found.get_metadata("natoms", 3) == rows.n_atoms[3]


def test_a_map_of_lmdb_grows_with_the_data(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ase_db_backends")
    monkeypatch.setattr("harness.export.ase_lmdb._FIRST_SIZE", 2**14)
    out, rows = export(dataset, tmp_path / "out", "lmdb"), rows_of(dataset, "train")
    with connect(out / "train" / "data.aselmdb", use_lock_file=False, readonly=True) as database:
        assert [database._get_row(each).energy for each in range(1, len(rows) + 1)] == rows.energy.tolist()


@pytest.mark.parametrize("split", TRAINING)
@pytest.mark.parametrize("rows_per_batch", [4096, 3])
def test_packed_arrays(
    dataset: Path, tmp_path: Path, split: str, rows_per_batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.data.rows.ROWS_PER_BATCH", rows_per_batch)
    out, rows = export(dataset, tmp_path / "out", "npz", "--energy-key", "E"), rows_of(dataset, split)
    found = np.load(out / f"{split}.npz")  # without pickles
    for name in ("atomic_numbers", "positions", "forces", "n_atoms", "offsets"):
        expected = getattr(rows, name)
        assert found[name].dtype == expected.dtype
        assert (found[name] == expected).all()
    assert found["E"].tobytes() == rows.energy.tobytes()
    assert found["frame"].tolist() == rows.frame.tolist()
    assert found["trajectory"].tolist() == rows.trajectory.tolist()
    assert found["molecule_id"][found["molecule_idx"]].tolist() == rows.molecule_id.tolist()
    assert found["smiles"][found["molecule_idx"]].tolist() == rows.smiles.tolist()
    assert (found["charge"].tolist(), found["spin_multiplicity"].tolist()) == ([0] * len(rows), [1] * len(rows))
    assert not [path for path in out.iterdir() if path.suffix == ".parts"]


@pytest.mark.parametrize(
    ("energy", "forces", "message"),
    [
        ("REF energy", "F", "--energy-key 'REF energy' is not a valid name"),
        ("E", "", "--forces-key '' is not a valid name"),
        ("E", "E", "are both E"),
        ("forces", "F", "--energy-key forces: forces has another meaning for readers"),
        ("E", "pos", "--forces-key pos: pos has another meaning"),
        ("Lattice", "F", "--energy-key Lattice"),
        ("charge", "F", "--energy-key charge"),
    ],
)
def test_names_that_readers_take_for_something_else_are_refused(energy: str, forces: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        keys_of(FORMATS["extxyz"], energy, forces)


@pytest.mark.parametrize("form", ["ase-db", "lmdb"])
def test_a_data_base_has_names_of_its_own(dataset: Path, tmp_path: Path, form: str) -> None:
    with pytest.raises(UsageError, match=f"--format {form} stores energy and forces as calculator results"):
        export(dataset, tmp_path / "out", form, "--energy-key", "E")
    assert not (tmp_path / "out").exists()


def test_lmdb_without_its_package_says_how_to_get_it(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ase_db_backends", None)
    monkeypatch.delitem(sys.modules, "ase_db_backends.aselmdb", raising=False)
    with pytest.raises(MissingPackageError, match=r"pip install 'mlip-ood\[lmdb\]'"):
        export(dataset, tmp_path / "out", "lmdb")
    assert not (tmp_path / "out").exists()
