"""Checkpoints of our own: loaded and applied to packed batches."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import MissingPackageError, ModelError, UsageError
from harness.core.batch import StructureBatch
from harness.core.potential import LoadOptions
from harness.networks.architectures import FAMILIES
from harness.networks.checkpoint_format import write_checkpoint
from harness.networks.networks import build_network
from harness.networks.tensors import network_tensors
from harness.potentials.graph_pes import GraphPesPotential, load
from tests.harness.networks.test_networks import HERE
from tests.harness.small_checkpoint import SMALL_CONFIG

WATER = np.array([[0.0, 0.0, 0.119], [0.0, 0.763, -0.477], [0.0, -0.763, -0.477]])
METHANE = 0.63 * np.array([[0, 0, 0], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=np.float64)


def batch_of(*names: str) -> StructureBatch:
    parts = {"O": (np.array([8, 1, 1]), WATER), "C": (np.array([6, 1, 1, 1, 1]), METHANE)}
    return StructureBatch(
        atomic_numbers=np.concatenate([parts[name][0] for name in names]).astype(np.uint8),
        positions=np.concatenate([parts[name][1] for name in names]).astype(np.float32),
        n_atoms=np.array([len(parts[name][0]) for name in names]),
        smiles=names,
    )


def make_checkpoint(directory: Path, architecture: str = "PaiNN") -> Path:
    torch.manual_seed(3)
    network = build_network(architecture, SMALL_CONFIG.arguments, SMALL_CONFIG.elements)
    with torch.no_grad():
        for parameter in network.parameters():  # the last layer of DimeNet++ begins with zeros
            parameter.add_(0.05 * torch.randn_like(parameter))
    write_checkpoint(directory, dataclasses.replace(SMALL_CONFIG, architecture=architecture), network_tensors(network))
    return directory


# Building NequIP or MACE compiles TorchScript for seconds, so each is loaded once for all tests.
@pytest.fixture(scope="module", params=HERE)
def potential(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> GraphPesPotential:
    checkpoint = make_checkpoint(tmp_path_factory.mktemp("checkpoint"), request.param)
    potential = load(checkpoint, LoadOptions(device="cpu", dtype="float64"))
    assert isinstance(potential, GraphPesPotential)
    return potential


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "PaiNN")


@pytest.fixture
def float64_default() -> Iterator[None]:
    """graph-pes converts the positions of ASE to torch's default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_batched_equals_single_and_order_is_kept(potential: GraphPesPotential) -> None:
    together = potential.compute(batch_of("O", "C", "O"))
    water, methane = (potential.compute(batch_of(name)) for name in ("O", "C"))
    np.testing.assert_allclose(together.energy, [*water.energy, *methane.energy, *water.energy], atol=1e-10)
    np.testing.assert_allclose(
        together.forces, np.concatenate([water.forces, methane.forces, water.forces]), atol=1e-10
    )
    assert together.energy.dtype == together.forces.dtype == np.float64
    assert together.failures == {}


def test_forces_are_the_derivative_of_the_energy(potential: GraphPesPotential) -> None:
    batch = batch_of("C", "O")
    positions = batch.positions.astype(np.float64)
    step = 1e-4
    moved = np.stack([positions, positions])
    moved[:, 6, 1] += [step, -step]
    above, below = (potential.compute(dataclasses.replace(batch, positions=one)).energy.sum() for one in moved)
    forces = potential.compute(dataclasses.replace(batch, positions=positions)).forces
    assert forces[6, 1] == pytest.approx(-(above - below) / (2 * step), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("potential", [name for name in HERE if FAMILIES[name] == "graph-pes"], indirect=True)
def test_agrees_with_the_calculator_of_graph_pes(potential: GraphPesPotential, float64_default: None) -> None:
    from ase import Atoms

    predicted = potential.compute(batch_of("C"))
    atoms = Atoms(numbers=[6, 1, 1, 1, 1], positions=METHANE.astype(np.float32))
    atoms.calc = cast(Any, potential.network).ase_calculator(device="cpu")
    assert predicted.energy[0] == pytest.approx(atoms.get_potential_energy() - 50.0 - 4 * 10.0, abs=1e-9)
    np.testing.assert_allclose(predicted.forces, atoms.get_forces(), atol=1e-9)


def test_reference_energies_are_added_in_float64(checkpoint: Path) -> None:
    potential = load(checkpoint, LoadOptions(device="cpu"))
    assert isinstance(potential, GraphPesPotential)
    potential.network.load_state_dict(
        {name: torch.zeros_like(value) for name, value in network_tensors(potential.network).items()}, strict=False
    )
    energy = potential.compute(batch_of("O", "C")).energy
    # A network of zeros leaves the reference energies alone: O + 2 H and C + 4 H.
    np.testing.assert_array_equal(energy, [-120.0, -90.0])


def test_float32_and_float64_agree(checkpoint: Path) -> None:
    single, double = (load(checkpoint, LoadOptions(device="cpu", dtype=dtype)) for dtype in ("float32", "float64"))
    batch = batch_of("O", "C")
    np.testing.assert_allclose(single.compute(batch).forces, double.compute(batch).forces, atol=1e-4)
    assert (single.traits.dtype, double.traits.dtype) == ("float32", "float64")


def test_input_is_untouched(checkpoint: Path) -> None:
    batch = batch_of("O", "C")
    for array in (batch.positions, batch.atomic_numbers, batch.n_atoms):
        array.flags.writeable = False
    load(checkpoint, LoadOptions(device="cpu")).compute(batch)


def test_traits(checkpoint: Path) -> None:
    traits = load(checkpoint, LoadOptions(device="cpu")).traits
    assert traits.elements == frozenset({1, 6, 8})
    assert traits.files.keys() == {"config.json", "model.safetensors"}
    assert (traits.family, traits.trained_on, traits.protocol) == ("graph-pes", "task2", "from-scratch")
    assert (traits.level_of_theory, traits.dtype, traits.device) == ("GFN2-xTB", "float32", "cpu")


def test_unknown_element_is_refused(checkpoint: Path) -> None:
    batch = dataclasses.replace(batch_of("O"), atomic_numbers=np.array([16, 1, 1]))
    with pytest.raises(ModelError, match="has no parameters for S"):
        load(checkpoint, LoadOptions(device="cpu")).compute(batch)


def test_weights_of_another_network_are_refused(checkpoint: Path) -> None:
    (checkpoint / "config.json").write_text(
        (checkpoint / "config.json").read_text().replace('"layers": 2', '"layers": 3')
    )
    with pytest.raises(ModelError, match=r"lacks the tensor 'interactions\.2"):
        load(checkpoint, LoadOptions(device="cpu"))


def test_unknown_device(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="unknown device 'gpu'"):
        load(checkpoint, LoadOptions(device="gpu"))


def test_missing_package(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graph_pes", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'mlip-ood\[graph-pes\]'"):
        load(checkpoint, LoadOptions(device="cpu"))
