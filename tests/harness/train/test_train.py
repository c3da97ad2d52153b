"""Training: it learns, it goes on bit for bit after an interruption, and it never sees a test split."""

import csv
import dataclasses
import errno
import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from dataset_builders.core.errors import ConvergenceError, DataError, ModelError, UsageError
from harness.cli import main as cli
from harness.compute.neighbours import packed_neighbours
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.data.rows import read_split
from harness.networks.architecture import NetworkArguments
from harness.networks.checkpoint_format import read_config
from harness.networks.compiling import COMPILABLE, compiled
from harness.networks.networks import build_network
from harness.networks.tensors import load_tensors, network_tensors
from harness.potentials.graph_pes import load
from harness.train.gradient import loss_and_gradient, loss_of
from harness.train.loop import learning_rate_at
from harness.train.packed_frames import batches
from harness.train.settings import TrainSettings
from harness.train.state import STATE_FILE
from harness.train.task_data import (
    TrainingData,
    fit_reference_energies,
    pin_training_files,
    read_training_data,
    read_training_split,
)
from tests.harness.training_set import CUTOFF, SHAPE, interrupting_after, train, write_training_set

SMALL = NetworkArguments(4, 4, 1, CUTOFF)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.fixture(scope="module")
def data(dataset: Path) -> TrainingData:
    return read_training_data(dataset, "task2", CUTOFF)


def test_learns_a_toy_force_field(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert train(dataset, out, "--epochs", "80", "--learning-rate", "5e-3", "--validations", "5", drawn=True) == 0
    config = read_config(out)
    zero = np.abs(read_split(pin_training_files(dataset, "task2"), "task2", "validation").forces).mean()
    assert config.training["best_validation"]["validation_force_mae"] < 0.3 * zero
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "model.safetensors",
        "validation_curve.csv",
        "validation_curve.png",
    ]
    assert (config.trained_on, config.level_of_theory, config.elements) == ("task2", "MMFF94", (1, 6, 8))
    assert (config.training["steps"], config.training["n_molecules"]) == (320, 2)


def test_checkpoint_gives_the_validation_error_that_was_reported(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "model", "--epochs", "2", "--validations", "2")
    rows = read_split(pin_training_files(dataset, "task2"), "task2", "validation")
    batch = StructureBatch(rows.atomic_numbers, rows.positions, rows.n_atoms, tuple(rows.smiles))
    predicted = load(tmp_path / "model", LoadOptions(device="cpu")).compute(batch)
    best = read_config(tmp_path / "model").training["best_validation"]
    assert np.abs(predicted.forces - rows.forces).mean() == pytest.approx(best["validation_force_mae"], rel=1e-5)
    per_atom = np.abs(predicted.energy - rows.energy) / rows.n_atoms
    assert per_atom.mean() == pytest.approx(best["validation_energy_mae"], rel=1e-4)


def test_the_weights_of_each_validation_are_kept_on_request(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--epochs", "2", "--validations", "4", "--keep-checkpoints")
    with monkeypatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", interrupting_after(2))
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "model", *options)
    train(dataset, tmp_path / "model", *options)
    kept = sorted((tmp_path / "model" / "validations").iterdir())
    assert [path.name for path in kept] == ["00000002", "00000004", "00000006", "00000008"]
    with (tmp_path / "model" / "validation_curve.csv").open() as stream:
        curve = list(csv.DictReader(stream))
    rows = read_split(pin_training_files(dataset, "task2"), "task2", "validation")
    batch = StructureBatch(rows.atomic_numbers, rows.positions, rows.n_atoms, tuple(rows.smiles))
    errors = []
    for path, point in zip(kept, curve, strict=True):
        if path is not kept[-1]:
            with pytest.raises(ModelError, match=rf"weights of step {point['step']} of 8"):
                load(path, LoadOptions(device="cpu"))
        predicted = load(path, LoadOptions(device="cpu", allow_unfinished=True)).compute(batch)
        errors.append(np.abs(predicted.forces - rows.forces).mean())
        assert errors[-1] == pytest.approx(float(point["validation_force_mae"]), rel=1e-5)
        stated = read_config(path).training["best_validation"]
        assert stated["step"] == int(point["step"])
    # The last ones are those of a training that went to its end.
    assert load(kept[-1], LoadOptions(device="cpu")).traits.unfinished is None
    best = kept[int(np.argmin(errors))]
    tensors = [load_file(folder / "model.safetensors") for folder in (tmp_path / "model", best)]
    assert tensors[0].keys() == tensors[1].keys()
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    train(dataset, tmp_path / "other", "--epochs", "1")
    assert not (tmp_path / "other" / "validations").exists()


def test_interrupted_run_goes_on_bit_for_bit(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Seven validations in three epochs of four steps: the interruption falls inside an epoch.
    options = ("--epochs", "3", "--validations", "7", "--seed", "5")
    train(dataset, tmp_path / "whole", *options)
    with monkeypatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", interrupting_after(3))
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "parts", *options)
    assert (tmp_path / "parts" / STATE_FILE).exists()
    train(dataset, tmp_path / "parts", *options)

    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    curves = [(tmp_path / name / "validation_curve.csv").read_text().splitlines() for name in ("whole", "parts")]
    without_seconds = [[line.split(",")[:1] + line.split(",")[2:] for line in curve] for curve in curves]
    assert without_seconds[0] == without_seconds[1]
    assert not (tmp_path / "parts" / STATE_FILE).exists()


def test_a_run_that_ends_between_its_first_checkpoint_and_its_first_state_starts_anew(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk_full(directory: Path, run: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(directory))

    train(dataset, tmp_path / "whole", "--epochs", "1")
    with monkeypatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", disk_full)
        with pytest.raises(OSError, match="No space left"):
            train(dataset, tmp_path / "parts", "--epochs", "1")
    assert (tmp_path / "parts" / "config.json").exists()
    assert not (tmp_path / "parts" / STATE_FILE).exists()
    train(dataset, tmp_path / "parts", "--epochs", "1")
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    with pytest.raises(UsageError, match="contains a finished checkpoint"):
        train(dataset, tmp_path / "parts", "--epochs", "1")


def test_interrupted_run_refuses_other_settings(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", interrupting_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path, "--epochs", "1")
    with pytest.raises(UsageError, match="interrupted run whose seed is 0, not 1 as in this"):
        train(dataset, tmp_path, "--epochs", "1", "--seed", "1")
    (tmp_path / STATE_FILE).write_bytes(b"cut off")
    with pytest.raises(DataError, match="delete it to restart the training"):
        train(dataset, tmp_path, "--epochs", "1")


def test_finished_checkpoint_is_not_overwritten(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="finished checkpoint; choose another --out"):
        train(dataset, tmp_path, "--epochs", "1")


@pytest.mark.parametrize("split", ["test_id", "test_ood", "test", ""])
def test_no_test_split_can_be_asked_for(dataset: Path, split: str) -> None:
    pinned = pin_training_files(dataset, "task2")
    with pytest.raises(UsageError, match=r"training must not read the split .*; expected train or validation"):
        read_training_split(pinned, "task2", split)


def test_batches_hold_what_packing_the_frames_gives(dataset: Path, data: TrainingData) -> None:
    rows = read_split(pin_training_files(dataset, "task2"), "task2", "train")
    chosen = [11, 2]
    (found,) = batches(data.train, np.array(chosen), 2, CUTOFF, "cpu")
    atoms = np.concatenate([np.arange(rows.offsets[row], rows.offsets[row + 1]) for row in chosen])
    packed = StructureBatch(rows.atomic_numbers[atoms], rows.positions[atoms], rows.n_atoms[chosen], ("", ""))
    np.testing.assert_array_equal(found.graph.neighbour_list, packed_neighbours(packed, CUTOFF))
    np.testing.assert_array_equal(found.graph.batch, packed.system_idx)
    np.testing.assert_array_equal(found.graph.ptr, packed.offsets)
    np.testing.assert_array_equal(found.graph.Z, packed.atomic_numbers)
    np.testing.assert_array_equal(found.graph.R, packed.positions)
    np.testing.assert_array_equal(found.forces, rows.forces[atoms])
    per_atom = [data.reference_energies[symbol] for symbol in ("H", "C", "O")]
    counts = [
        [np.sum(rows.atomic_numbers[rows.offsets[row] :][: rows.n_atoms[row]] == z) for z in (1, 6, 8)]
        for row in chosen
    ]
    np.testing.assert_allclose(found.energy, rows.energy[chosen] - np.array(counts) @ per_atom, atol=1e-9)


def test_reference_energies_of_a_known_sum(dataset: Path) -> None:
    rows = read_split(pin_training_files(dataset, "task2"), "task2", "train")
    energies = np.array([-13.0, -50.0, -110.0])
    total = [
        sum(energies[[1, 6, 8].index(z)] for z in part) for part in np.split(rows.atomic_numbers, rows.offsets[1:-1])
    ]
    fitted, rank = fit_reference_energies(dataclasses.replace(rows, energy=np.array(total)), (1, 6, 8))
    # Two compositions for three elements: the energies are not unique, the totals they give are.
    assert rank == 2
    assert fitted @ [6, 2, 1] == pytest.approx(6 * -13.0 + 2 * -50.0 - 110.0)
    assert fitted @ [6, 2, 0] == pytest.approx(6 * -13.0 + 2 * -50.0)


def test_learning_rate() -> None:
    settings = TrainSettings(epochs=1, learning_rate=2.0, warmup_fraction=0.1, final_fraction=0.01)
    assert learning_rate_at(0.049, settings) == pytest.approx(
        2.0 * 0.5 * (0.01 + 0.99 * 0.5 * (1 + math.cos(0.049 * math.pi)))
    )
    assert learning_rate_at(0.5, settings) == pytest.approx(2.0 * (0.01 + 0.99 * 0.5))
    assert learning_rate_at(1.0, settings) == pytest.approx(0.02)


def test_loss_by_hand(data: TrainingData) -> None:
    (batch,) = batches(data.train, np.array([0, 1]), 2, CUTOFF, "cpu")
    forces = batch.forces.clone()
    forces[0] += torch.tensor([3.0, 0.0, 4.0])
    energy = batch.energy + torch.tensor([0.9, -1.8])
    n_atoms = batch.n_atoms.double()
    # One of all atoms is off by 5 eV/Å; the energies by 0.9 and 1.8 eV; the weight of the energy is 2.
    expected = 5.0 / float(n_atoms.sum()) + 2.0 * float((torch.tensor([0.9, 1.8]) / n_atoms).mean())
    assert float(loss_of(energy, forces, batch, 2.0)) == pytest.approx(expected, rel=1e-6)


# Lowering second derivatives takes half a minute for a network of many operations. Capture, which breaks more often, is
# tested for the network of most operations by default; lowering for the smallest one, which has loss and derivatives of
# the others. `make slow` does both for all.
LOWERED = ("PaiNN",)
CAPTURED = ("MACE",)
BY_DEFAULT = [*((name, "aot_eager") for name in LOWERED), *((name, "eager") for name in CAPTURED)]


@pytest.mark.parametrize(
    ("architecture", "backend"),
    [
        *BY_DEFAULT,
        *(
            pytest.param(name, backend, marks=pytest.mark.slow)
            for name in COMPILABLE
            for backend in ("eager", "aot_eager")
            if (name, backend) not in BY_DEFAULT
        ),
    ],
)
def test_compiled_gradient_is_that_of_eager_evaluation(
    data: TrainingData, architecture: str, backend: Literal["eager", "aot_eager"], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    # Tracing takes a time proportional to the number of operations: a degree less, and fewer angular functions, leave
    # out repetitions of the same operations only.
    monkeypatch.setattr("harness.networks.builders.ANGULAR_ORDER", 1)
    if architecture == "DimeNet++":
        monkeypatch.setattr("harness.networks.pyg.SPHERICAL_FUNCTIONS", 2)
    # The gates of NequIP stand between its layers.
    shape = dataclasses.replace(SMALL, radial_features=2, layers=2 if architecture == "NequIP" else 1)
    network = build_network(architecture, shape, data.elements)
    tracing = build_network(architecture, shape, data.elements, traceable=True)
    load_tensors(tracing, network_tensors(network))
    function = loss_and_gradient(network, 1.0)
    traced = compiled(loss_and_gradient(tracing, 1.0), architecture, backend)
    for frames in ([0, 9], [12, 3]):
        (batch,) = batches(data.train, np.array(frames), 2, CUTOFF, "cpu")
        (loss, gradient), (traced_loss, traced_gradient) = function(batch), traced(batch)
        assert float(traced_loss) == pytest.approx(float(loss), rel=1e-6)
        for part, traced_part in zip(gradient, traced_gradient, strict=True):
            assert (part is None) == (traced_part is None)
            if part is not None and traced_part is not None:
                torch.testing.assert_close(traced_part, part, rtol=1e-4, atol=1e-6)


def test_network_that_cannot_be_compiled(data: TrainingData) -> None:
    network = build_network("ViSNet", SMALL, data.elements)
    with pytest.raises(UsageError, match="--compile supports only PaiNN, SchNet, TensorNet, NequI"):
        compiled(loss_and_gradient(network, 1.0), "ViSNet")


def test_divergence_is_reported(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConvergenceError, match="training diverged at step"):
        train(dataset, tmp_path, "--epochs", "50", "--learning-rate", "1e30")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--batch-size", "0"), "--batch-size 0; expected a number above 0"),
        (("--budget", "-1"), r"--budget -1; expected a time above 0"),
        (("--learning-rate", "nan"), "--learning-rate nan; expected a number above 0"),
        (("--seed", "-1"), "--seed -1; expected 0 or more"),
        (("--threads", "0"), "--threads 0; expected 1 or more"),
    ],
)
def test_options_out_of_range(dataset: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(dataset, tmp_path, *options)


def test_exactly_one_length(dataset: Path) -> None:
    with pytest.raises(UsageError, match="give exactly one of --budget, --epochs and --steps"):
        TrainSettings()


def test_files_without_provenance(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "task2").mkdir()
    for split in ("train", "validation"):
        table = pq.read_table(dataset / f"task2/{split}-00000-of-00001.parquet")
        pq.write_table(table.replace_schema_metadata(None), tmp_path / f"task2/{split}-00000-of-00001.parquet")
    with pytest.raises(DataError, match="as edition and level of theory; expected one of each"):
        pin_training_files(tmp_path, "task2")


def test_a_corrupt_training_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "task2").mkdir()
    for split in ("train", "validation"):
        (tmp_path / "task2" / f"{split}-00000-of-00001.parquet").write_bytes(b"no Parquet")
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet cannot be read as Parquet"):
        pin_training_files(tmp_path, "task2")


def test_settings_in_the_checkpoint_are_plain(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "model", "--epochs", "1", "--validations", "1")
    document = json.loads((tmp_path / "model/config.json").read_text())
    assert document["training"]["settings"]["epochs"] == 1
    assert document["training"]["data_hash"] == pin_training_files(dataset, "task2").content_hash


def test_training_is_in_full_precision_and_says_so(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1")
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    torch.set_float32_matmul_precision("high")
    train(dataset, tmp_path / "model", "--epochs", "1", "--validations", "1")
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32
    training = read_config(tmp_path / "model").training
    assert training["precision"] == {"float32_products": "ieee"}
    assert training["variables"]["MKL_CBWR"] == "COMPATIBLE"


def test_the_command_line_adds_a_card(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    command = ["train", "--dataset", str(dataset), "--task", "task2", "--out", str(out), "--device", "cpu"]
    assert cli([*command, *SHAPE, "--epochs", "1", "--validations", "1"]) == 0
    assert "# PaiNN, trained on task2 (fragment duplication)" in (out / "README.md").read_text(encoding="utf-8")
    assert cli([*command, "--epochs", "1"]) == 2
