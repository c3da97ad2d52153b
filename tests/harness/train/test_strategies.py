"""Training on top of a physics method, training further from another model, and ending early."""

import dataclasses
import itertools
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import DataError, ModelError, UsageError
from dataset_builders.core.units import HARTREE
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.regions import TASKS
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import LoadOptions
from harness.models.registry import identify, load_potential
from harness.networks.checkpoint_format import read_config, write_config
from harness.potentials.delta import DeltaPotential, load_baseline
from harness.potentials.graph_pes import load
from harness.train import baseline as baseline_labels
from harness.train.packed_frames import structures_of
from harness.train.start import load_start
from harness.train.task_data import pin_training_files, read_training_data, read_training_split, shifted
from tests.harness.potentials.foundation_models import random_ani1x
from tests.harness.potentials.molecules import saved, small_mace
from tests.harness.toy_potential import Harmonic
from tests.harness.training_records import record_of, write_record
from tests.harness.training_set import CUTOFF, interrupting_after, train, write_training_set

SHORT = ("--epochs", "1", "--validations", "1")
CPU = LoadOptions(device="cpu")


class Failing(Harmonic):
    """Fails at given structures of every batch."""

    def __init__(self, failing: dict[int, str]) -> None:
        super().__init__()
        self.failing = failing

    def compute(self, batch: StructureBatch) -> Prediction:
        return dataclasses.replace(super().compute(batch), failures=self.failing)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("dataset") / "toy")


@pytest.fixture(scope="module")
def molecules(dataset: Path) -> StructureBatch:
    rows = read_training_split(pin_training_files(dataset, "task2"), "task2", "validation")
    return structures_of(rows, 0, len(rows))


@pytest.fixture(scope="module")
def painn(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("painn") / "model"
    train(dataset, out, *SHORT)
    return out


def test_a_network_on_top_of_the_method_of_the_labels_has_nothing_to_learn(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    train(dataset, out, "--delta", "mmff94", "--epochs", "10", "--validations", "2")
    config = read_config(out)
    # The labels are MMFF94 and 100 eV for each atom.
    energies = config.reference_energies
    assert 6 * energies["H"] + 2 * energies["C"] == pytest.approx(-800.0)
    assert energies["O"] == pytest.approx(-100.0)
    assert config.training["best_validation"]["validation_force_mae"] < 0.05
    assert (config.baseline, config.level_of_theory, config.protocol) == ("mmff94", "MMFF94", "from-scratch")
    assert sorted(path.suffix for path in out.iterdir()) == [".csv", ".json", ".png", ".safetensors"]


def test_a_checkpoint_on_a_baseline_gives_the_sum_of_both(
    dataset: Path, tmp_path: Path, molecules: StructureBatch
) -> None:
    train(dataset, tmp_path / "model", "--delta", "gfn1-xtb", *SHORT)
    whole = load_potential(str(tmp_path / "model"), CPU)
    config = read_config(tmp_path / "model")
    write_config(tmp_path / "model", dataclasses.replace(config, baseline=None))
    network = load(tmp_path / "model", CPU)
    sum_of_both = [each.compute(molecules) for each in (network, load_baseline("gfn1-xtb", 1))]
    found = whole.compute(molecules)
    np.testing.assert_allclose(found.energy, sum(each.energy for each in sum_of_both), atol=1e-9)
    np.testing.assert_allclose(found.forces, sum(each.forces for each in sum_of_both), atol=1e-12)
    assert {"tblite", "graph-pes", "torch"} <= set(whole.traits.packages)
    assert (whole.traits.level_of_theory, whole.traits.conservative) == ("MMFF94", True)
    # What was reported while it was trained is what the whole potential is off by.
    rows = read_training_split(pin_training_files(dataset, "task2"), "task2", "validation")
    best = config.training["best_validation"]
    assert np.abs(found.forces - rows.forces).mean() == pytest.approx(best["validation_force_mae"], rel=1e-4)
    per_atom = np.abs(found.energy - rows.energy) / rows.n_atoms
    assert per_atom.mean() == pytest.approx(best["validation_energy_mae"], rel=1e-3)


def test_a_baseline_is_computed_once_for_a_run_that_goes_on(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--delta", "mmff94", "--epochs", "2", "--validations", "2")
    train(dataset, tmp_path / "whole", *options)
    with monkeypatch.context() as patched:
        patched.setattr("harness.train.loop.write_state", interrupting_after(1))
        with pytest.raises(KeyboardInterrupt):
            train(dataset, tmp_path / "parts", *options)
    monkeypatch.setattr(baseline_labels, "_computed", None)
    train(dataset, tmp_path / "parts", *options)
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_baseline_energies_of_other_frames_are_not_used(dataset: Path, tmp_path: Path) -> None:
    rows = read_training_split(pin_training_files(dataset, "task2"), "task2", "train")
    relabel = baseline_labels.subtract_baseline("mmff94", tmp_path, 1)
    relabel("train", 0, rows)
    moved = dataclasses.replace(rows, positions=rows.positions + np.float32(0.01) * rows.positions)
    fresh = baseline_labels.subtract_baseline("mmff94", tmp_path / "fresh", 1)("train", 0, moved)
    np.testing.assert_array_equal(relabel("train", 0, moved).energy, fresh.energy)
    (tmp_path / baseline_labels.baseline_file("mmff94", "train", 0)).write_bytes(b"cut off")
    with pytest.raises(DataError, match=r"cannot be read .* delete it to compute it again"):
        relabel("train", 0, rows)


def test_frames_that_a_baseline_cannot_compute_stop_the_training(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline_labels, "load_baseline", lambda _name, _threads: Failing({1: "no convergence"}))
    with pytest.raises(DataError, match=r"cannot compute OH-2-H, primary frame 1 of train: no convergence"):
        train(dataset, tmp_path / "model", "--delta", "mmff94", *SHORT)


def test_failures_of_both_parts_are_failures_of_the_sum(molecules: StructureBatch) -> None:
    both = DeltaPotential(Failing({0: "first"}), Failing({2: "second"}))
    assert both.compute(molecules).failures == {0: "first", 2: "second"}


def test_shift_of_reference_energies_by_hand(dataset: Path) -> None:
    data = read_training_data(dataset, "task2", CUTOFF, reference_energies={"H": 1.0, "C": 2.0, "O": 3.0, "F": 4.0})
    assert data.elements == (1, 6, 8, 9)
    counts = np.array([[np.sum(part == z) for z in data.elements] for part in _molecules_of(data.train)])
    # A network that lacks 0.5 eV for each H and 0.25 for each C and O.
    moved = shifted(data, data.train.energy - counts @ [0.5, 0.25, 0.25, 0.0])
    np.testing.assert_allclose(moved.train.energy, data.train.energy - counts @ [0.5, 0.25, 0.25, 0.0], atol=1e-9)
    assert moved.reference_energies["F"] == pytest.approx(4.0)
    shift = [moved.reference_energies[symbol] - data.reference_energies[symbol] for symbol in ("H", "C", "O")]
    # Two compositions, C2H6O and C2H6, fix these sums.
    assert np.dot(shift, [6, 2, 1]) == pytest.approx(6 * 0.5 + 2 * 0.25 + 0.25)
    assert np.dot(shift, [6, 2, 0]) == pytest.approx(6 * 0.5 + 2 * 0.25)


def _molecules_of(frames: Any) -> list[np.ndarray]:
    return np.split(frames.atomic_numbers, np.cumsum(frames.n_atoms)[:-1])


def test_training_starts_where_its_model_stands(dataset: Path, painn: Path, tmp_path: Path) -> None:
    tiny = ("--learning-rate", "1e-12", "--init", str(painn), *SHORT)
    train(dataset, tmp_path / "model", *tiny, shape=())
    before, after = read_config(painn), read_config(tmp_path / "model")
    error = after.training["zero_shot_validation"]["validation_force_mae"]
    assert error == pytest.approx(before.training["best_validation"]["validation_force_mae"], rel=1e-4)
    assert after.training["best_validation"]["validation_force_mae"] == pytest.approx(error, rel=1e-4)
    assert (after.protocol, after.architecture, after.arguments) == ("fine-tuned", "PaiNN", before.arguments)
    assert after.started_from is not None
    assert after.started_from["files"].keys() == {"config.json", "model.safetensors"}
    assert after.started_from["trained_on"] == ["task2"]


def ani1x_of_equals(directory: Path) -> Path:
    """An ensemble whose networks are all the first one, which is the one that is trained further."""
    path = random_ani1x(directory)
    state = torch.load(path, weights_only=True)
    torch.save({name: state[re.sub(r"members\.\d", "members.0", name)] for name in state}, path)
    return path


@pytest.mark.parametrize("family", ["torchani", "mace"])
def test_a_tuned_foundation_model_needs_its_file_no_more(
    dataset: Path, tmp_path: Path, family: str, molecules: StructureBatch
) -> None:
    pytest.importorskip(family)
    path = ani1x_of_equals(tmp_path) if family == "torchani" else saved(small_mace(), tmp_path / "small.model")
    trusted = LoadOptions(device="cpu", trust_checkpoint=True)
    original = load_potential(str(path), trusted).compute(molecules)
    tiny = ("--learning-rate", "1e-12", "--trust-checkpoint", "--init", str(path), *SHORT)
    train(dataset, tmp_path / "model", *tiny, shape=())
    path.unlink()
    # Hardly trained at all, it still has the forces of the model, and energies on the scale of the labels.
    assert identify(str(tmp_path / "model")).family.name == f"{family}-tuned"
    tuned = load_potential(str(tmp_path / "model"), CPU)
    found = tuned.compute(molecules)
    np.testing.assert_allclose(found.forces, original.forces, atol=2e-4 * np.abs(original.forces).max())
    rows = read_training_split(pin_training_files(dataset, "task2"), "task2", "validation")
    off = found.energy - rows.energy
    assert abs(off.mean()) < 0.01 * abs((original.energy - rows.energy).mean())
    traits = tuned.traits
    assert (traits.protocol, traits.trained_on, traits.level_of_theory) == ("fine-tuned", "task2", "MMFF94")
    config = read_config(tmp_path / "model")
    assert config.started_from is not None
    assert config.started_from["family"] == family
    assert config.training["zero_shot_validation"]["validation_force_mae"] > 0.0


def test_self_energies_of_ani_are_kept_in_ev(tmp_path: Path) -> None:
    start = load_start(str(random_ani1x(tmp_path)), None, CPU, "task2")
    assert start.reference_energies["H"] == pytest.approx(-0.6 * HARTREE)
    assert list(start.reference_energies) == ["H", "C", "N", "O"]


def test_a_pickle_is_not_loaded_without_trust(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("mace")
    path = saved(small_mace(), tmp_path / "small.model")
    with pytest.raises(ModelError, match="trust-checkpoint"):
        train(dataset, tmp_path / "model", "--init", str(path), *SHORT, shape=())
    assert not (tmp_path / "model").exists()


def test_a_model_that_saw_the_molecules_of_the_test_is_refused(dataset: Path, painn: Path, tmp_path: Path) -> None:
    # Task4 trains on long chains, which task1 keeps for its OOD test.
    short = tmp_path / "short"
    shutil.copytree(dataset / "task2", short / "task1")
    config = read_config(painn)
    for index, changes in enumerate(({"trained_on": "task4"}, {"started_from": {"trained_on": ["task4"]}})):
        other = tmp_path / f"other{index}"
        other.mkdir()
        (other / "model.safetensors").write_bytes((painn / "model.safetensors").read_bytes())
        write_config(other, dataclasses.replace(config, **changes))
        with pytest.raises(UsageError, match="was trained on task4, which contains 4 of the 40 OOD molecules of task1"):
            train(short, tmp_path / "model", "--task", "task1", "--init", str(other), *SHORT, shape=())


def test_what_lies_beside_a_model_to_start_from_is_read(tmp_path: Path) -> None:
    """A model of another program that was trained on task4 saw long chains, which task1 keeps for its OOD test."""
    path = random_ani1x(tmp_path)
    place = path.with_name(f"{path.name}.mlip-ood.json")
    document = record_of(MINI_DIRECTORY, "task4")
    write_record(place, document)
    with pytest.raises(UsageError, match="was trained on task4, which contains 4 of the 40 OOD molecules of task1"):
        load_start(str(path), None, CPU, TASKS["task1"])
    assert load_start(str(path), None, CPU, TASKS["task4"]).record["trained_on"] == ["task4"]
    write_record(place, document | {"molecules": sorted([*document["molecules"], "COOH-12-H"])})
    with pytest.raises(UsageError, match="was trained on task4, which contains 1 of the 16 OOD molecules of task4"):
        load_start(str(path), None, CPU, TASKS["task4"])
    place.write_text("{}")
    with pytest.raises(DataError, match="is not a training record"):
        load_start(str(path), None, CPU, TASKS["task1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--init", "mmff94"), "--init mmff94 belongs to the family mmff94, which cannot be fine-tuned here"),
        (("--init", "PAINN", "--arch", "schnet"), "--arch schnet with --init .* which is PaiNN; leave --arch out"),
        (("--init", "PAINN", "--layers", "2"), "--layers changes the network, which --init determines; leave it out"),
        (("--init", "PAINN", "--delta", "mmff94"), "--delta mmff94 with --init .* baseline is none; leave --delta out"),
    ],
)
def test_options_that_contradict_a_start(
    dataset: Path, painn: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    given = [str(painn) if option == "PAINN" else option for option in options]
    with pytest.raises(UsageError, match=message):
        train(dataset, tmp_path / "model", *SHORT, *given, shape=())


def test_a_model_without_an_element_is_refused(dataset: Path, painn: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes((painn / "model.safetensors").read_bytes())
    config = read_config(painn)
    energies = {symbol: energy for symbol, energy in config.reference_energies.items() if symbol != "O"}
    write_config(tmp_path, dataclasses.replace(config, elements=(1, 6), reference_energies=energies))
    with pytest.raises(ModelError, match="has no parameters for O, which train contains; it supports H C"):
        train(dataset, tmp_path / "model", "--init", str(tmp_path), *SHORT, shape=())


def test_a_run_ends_where_validation_no_longer_improves(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = itertools.chain([0.5, 0.4, 0.41, 0.42, 0.43], itertools.repeat(0.1))
    monkeypatch.setattr("harness.train.loop.validate", lambda *_arguments: (next(errors), 0.1))
    options = ("--epochs", "10", "--validations", "10", "--patience", "3")
    train(dataset, tmp_path / "model", *options)
    training = read_config(tmp_path / "model").training
    assert training["ended_early"]
    # Five validations of four steps each; the second was the best.
    assert (training["steps"], training["best_validation"]["step"]) == (20, 8)


def test_a_patience_of_zero_never_ends_a_run(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = itertools.count(1.0)
    monkeypatch.setattr("harness.train.steps.validate", lambda *_arguments: (next(errors), 0.1))
    train(dataset, tmp_path / "model", "--epochs", "10", "--validations", "10", "--patience", "0")
    training = read_config(tmp_path / "model").training
    assert (training["steps"], training["ended_early"]) == (40, False)


def test_a_local_network_says_how_far_it_sees(dataset: Path, tmp_path: Path) -> None:
    train(dataset, tmp_path / "model", *SHORT, "--arch", "painn-local", shape=("--channels", "8"))
    assert read_config(tmp_path / "model").as_document()["receptive_field"] == 3.0
