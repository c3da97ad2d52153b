from ase.io import read

from harness.data.dataset import open_dataset
from harness.data.rows import read_split
from harness.peg.structures import INFO_KEYS, write_structures


def test_each_test_molecule_has_the_structure_of_its_first_frame(tiny_dataset, tmp_path):
    dataset = open_dataset(str(tiny_dataset))
    (tmp_path / "structures").mkdir()
    (tmp_path / "structures" / "task9-test_id-of-another-data-set.xyz").touch()
    write_structures(dataset, tmp_path / "structures")
    expected = set()
    for task in dataset.tasks:
        for split in ("test_id", "test_ood"):
            rows = read_split(dataset, task, split)
            expected |= {f"{task}-{split}-{molecule}" for molecule in rows.molecule_id}
    assert {path.stem for path in (tmp_path / "structures").iterdir()} == expected
    first = read_split(dataset, "task1", "test_ood")
    atoms = read(tmp_path / "structures" / f"task1-test_ood-{first.molecule_id[0]}.xyz")
    assert {key: atoms.info[key] for key in INFO_KEYS} == {
        "task": "task1",
        "split": "test_ood",
        "molecule_id": first.molecule_id[0],
        "spacer": first.spacer[0],
    }
    assert atoms.numbers.tolist() == first.atomic_numbers[: first.n_atoms[0]].tolist()
