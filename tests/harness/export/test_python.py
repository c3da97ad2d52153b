"""Frames in Python, without a file between."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.chemistry.levels import find_level
from dataset_builders.core.errors import DataError, MissingPackageError, UsageError
from harness.data.dataset import open_dataset
from harness.export import batches, to_ase, to_pyg
from harness.train.task_data import read_training_split
from tests.harness.export.exporting import TRAINING, rows_of, same_bits
from tests.harness.training_set import write_training_set


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.mark.parametrize("split", TRAINING)
def test_to_ase(dataset: Path, split: str) -> None:
    rows = rows_of(dataset, split)
    frames = list(to_ase(str(dataset), "task2", split))
    assert len(frames) == len(rows)
    for row, atoms in enumerate(frames):
        here = slice(rows.offsets[row], rows.offsets[row + 1])
        assert atoms.numbers.tolist() == rows.atomic_numbers[here].tolist()
        assert same_bits(atoms.positions, rows.positions[here])
        assert atoms.get_potential_energy() == rows.energy[row]
        assert same_bits(atoms.get_forces(), rows.forces[here])
        assert atoms.info == {
            "molecule_id": rows.molecule_id[row],
            "smiles": rows.smiles[row],
            "trajectory": rows.trajectory[row],
            "frame": rows.frame[row],
            "charge": 0,
            "spin": 1,
        }


def test_to_ase_takes_an_opened_data_set_and_any_split() -> None:
    mini = open_dataset("mini")
    assert sum(1 for _ in to_ase(mini, "task3", "test_ood")) == 300
    assert {atoms.info["molecule_id"] for atoms in to_ase("mini", "task3")} == {
        word.molecule_id for word in mini.task("task3").train_words()
    }


def test_an_opened_data_set_hands_out_its_frames_by_itself() -> None:
    mini = open_dataset("mini")
    atoms, expected_atoms = next(mini.to_ase("task3", "validation")), next(to_ase(mini, "task3", "validation"))
    assert atoms == expected_atoms
    assert atoms.get_potential_energy() == expected_atoms.get_potential_energy()
    assert next(mini.to_ase("task3")).info["trajectory"] == "primary"  # train by default
    own, expected = mini.batches("task3", batch_size=7, seed=1), batches(mini, "task3", "train", 7, seed=1)
    own.set_epoch(2)
    expected.set_epoch(2)
    assert len(own) == len(expected) == 100
    assert own[3]["row"].tolist() == expected[3]["row"].tolist()


def test_an_opened_data_set_hands_out_graphs() -> None:
    pytest.importorskip("torch_geometric")
    mini = open_dataset("mini", find_level("wb97x"))
    own, expected = next(mini.to_pyg("task2")), next(to_pyg(mini, "task2"))
    first = read_training_split(mini, "task2", "train").energy[0]  # at the level that was asked for
    assert own.energy.tolist() == expected.energy.tolist() == [first]
    assert own.pos.tolist() == expected.pos.tolist()


@pytest.mark.parametrize("method", ["to_ase", "to_pyg", "batches"])
def test_an_opened_data_set_refuses_what_it_does_not_hold(method: str) -> None:
    call = getattr(open_dataset("mini"), method)
    with pytest.raises(UsageError, match="unknown split 'test'"):
        call("task2", "test")
    with pytest.raises(UsageError, match="unknown task 'task9'; known tasks: task1"):
        call("task9")
    with pytest.raises(DataError, match="has no task1-pbe; its tasks: task2-pbe"):
        getattr(open_dataset("mini", find_level("pbe-d3bj")), method)("task1")


def test_opening_a_data_set_imports_no_exporter() -> None:
    code = (
        "import sys; from harness.data.dataset import open_dataset; open_dataset('mini'); "
        "print([name for name in ('harness.export', 'torch', 'ase', 'torch_geometric') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("split", TRAINING)
def test_to_pyg(dataset: Path, split: str) -> None:
    pytest.importorskip("torch_geometric")
    import torch
    from torch_geometric.data import Batch

    rows = rows_of(dataset, split)
    graphs = list(to_pyg(str(dataset), "task2", split))
    batch = Batch.from_data_list(graphs)
    assert batch.z.tolist() == rows.atomic_numbers.tolist()
    assert (batch.pos.dtype, batch.energy.dtype) == (torch.float32, torch.float64)
    assert same_bits(batch.pos, rows.positions)
    assert same_bits(batch.force, rows.forces)
    assert batch.energy.tolist() == rows.energy.tolist()
    assert batch.batch.tolist() == np.repeat(np.arange(len(rows)), rows.n_atoms).tolist()
    assert batch.molecule_id == rows.molecule_id.tolist()
    assert graphs[0].pos.untyped_storage().nbytes() == 12 * rows.n_atoms[0]  # takes no other frame along


def test_pyg_without_its_package(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch_geometric"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch_geometric", None)
    with pytest.raises(MissingPackageError, match=r"mlip-ood\[pyg\]"):
        to_pyg(str(dataset), "task2")


def test_batches_in_the_order_of_the_files(dataset: Path) -> None:
    import torch

    rows, found = rows_of(dataset, "train"), list(batches(str(dataset), "task2", "train", 5))
    assert [len(batch["n_atoms"]) for batch in found] == [5, 5, 5, 1]
    joined = {name: torch.cat([batch[name] for batch in found]) for name in found[0]}
    assert same_bits(joined["positions"], rows.positions)
    assert same_bits(joined["forces"], rows.forces)
    assert joined["energy"].tolist() == rows.energy.tolist()
    assert joined["atomic_numbers"].tolist() == rows.atomic_numbers.tolist()
    assert joined["row"].tolist() == list(range(16))
    assert found[1]["system_idx"].tolist() == np.repeat(np.arange(5), rows.n_atoms[5:10]).tolist()


def test_batches_are_shuffled_by_seed_and_epoch(dataset: Path) -> None:
    def order(seed: int | None, epoch: int) -> list[int]:
        found = batches(str(dataset), "task2", "train", 5, seed=seed)
        found.set_epoch(epoch)
        return [row for batch in found for row in batch["row"].tolist()]

    assert sorted(order(1, 0)) == list(range(16))
    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4
    rows, shuffled = rows_of(dataset, "train"), batches(str(dataset), "task2", "train", 4, seed=3)[2]
    for place, row in enumerate(shuffled["row"].tolist()):
        here = slice(rows.offsets[row], rows.offsets[row + 1])
        assert same_bits(shuffled["positions"][shuffled["system_idx"] == place], rows.positions[here])


def test_the_documented_example(tmp_path: Path) -> None:
    pytest.importorskip("torch_geometric")
    page = (Path(__file__).parents[3] / "docs" / "your-own-training.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:1]
    checks = "assert len(train) == 11 and epoch == 1 and batch['positions'].shape == (len(batch['system_idx']), 3)"
    subprocess.run([sys.executable, "-c", f"{example}\n{checks}"], cwd=tmp_path, check=True, timeout=120)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_with_workers(dataset: Path, workers: int) -> None:
    from torch.utils.data import DataLoader

    train = batches(str(dataset), "task2", "train", batch_size=5, seed=0)
    loader = DataLoader(train, batch_size=None, num_workers=workers)
    seen = []
    for epoch in range(2):
        train.set_epoch(epoch)
        seen.append([row for batch in loader for row in batch["row"].tolist()])
    assert [sorted(rows) for rows in seen] == [list(range(16))] * 2
    assert seen[0] != seen[1]


@pytest.mark.parametrize("call", [to_ase, to_pyg, batches])
def test_what_there_is_none_of(call: object, dataset: Path) -> None:
    with pytest.raises(UsageError, match="unknown split 'test'"):
        call(str(dataset), "task2", "test")  # type: ignore[operator]
    with pytest.raises(UsageError, match="unknown task 'task9'"):
        call(str(dataset), "task9", "train")  # type: ignore[operator]
    with pytest.raises(UsageError, match="expected 1 or more"):
        batches(str(dataset), "task2", "train", 0)
