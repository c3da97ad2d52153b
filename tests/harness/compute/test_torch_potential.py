from dataclasses import replace

import numpy as np
import pytest
import torch

from dataset_builders.core.errors import ModelError
from harness.compute.neighbours import neighbours, packed_neighbours
from harness.compute.staging import compute_ahead
from harness.compute.torch_potential import Output, PackedTensors, TorchPotential, pack
from harness.core.batch import Prediction, StructureBatch
from tests.harness.potentials.molecules import molecules, packed, unpacked
from tests.harness.toy_potential import SPRING, TRAITS, Harmonic


class HarmonicInTorch(TorchPotential):
    """As `Harmonic`; a structure of four atoms or fewer fails."""

    def graph(self, batch: PackedTensors) -> torch.Tensor:
        centroid = torch.zeros((batch.n_structures, 3), dtype=torch.float64, device=batch.device)
        centroid.index_add_(0, batch.system_idx, batch.positions)
        return batch.positions - (centroid / batch.n_atoms.unsqueeze(1))[batch.system_idx]

    def forward(self, graph: torch.Tensor, batch: PackedTensors) -> Output:
        energy = batch.sum_by_structure(0.5 * SPRING * graph.square().sum(dim=1))
        small = {int(number): "too small" for number in torch.nonzero(batch.n_atoms <= 4)}
        return Output(energy, -SPRING * graph, small)


DEVICES = ["cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def potential(request: pytest.FixtureRequest) -> HarmonicInTorch:
    return HarmonicInTorch(replace(TRAITS, device=request.param))


def test_it_computes_what_the_arrays_say(potential: HarmonicInTorch) -> None:
    batch = molecules()
    found, expected = potential.compute(batch), Harmonic().compute(batch)
    large = batch.n_atoms > 4
    assert found.energy[large] == pytest.approx(expected.energy[large], rel=1e-14)
    assert found.forces[np.repeat(large, batch.n_atoms)] == pytest.approx(
        expected.forces[np.repeat(large, batch.n_atoms)], abs=1e-14
    )
    assert found.energy.dtype == found.forces.dtype == np.float64


def test_a_failed_structure_has_no_numbers(potential: HarmonicInTorch) -> None:
    batch = StructureBatch(np.ones(9, dtype=np.int64), np.arange(27.0).reshape(9, 3), np.array([4, 5]), ("a", "b"))
    prediction = potential.compute(batch)
    assert prediction.failures == {0: "too small"}
    assert np.isnan(prediction.energy).tolist() == [True, False]
    assert np.isnan(prediction.forces).all(axis=1).tolist() == [True] * 4 + [False] * 5


def test_a_stream_of_batches_gives_each_its_own_prediction(potential: HarmonicInTorch) -> None:
    parts = [packed([part]) for part in unpacked(molecules())] * 7
    outcomes = list(compute_ahead(potential, iter(list(enumerate(parts))), tuple))
    assert [job for job, _ in outcomes] == list(range(len(parts)))
    for (_, outcome), part in zip(outcomes, parts, strict=True):
        assert isinstance(outcome, Prediction)
        assert np.array_equal(outcome.forces, potential.compute(part).forces, equal_nan=True)


def test_an_unknown_element_is_refused_before_its_turn() -> None:
    potential = HarmonicInTorch(replace(TRAITS, elements=frozenset({1})))
    with pytest.raises(ModelError, match="toy has no parameters for"):
        potential.prepare(molecules())


def test_tensors_share_no_memory_with_the_batch() -> None:
    batch = molecules()
    tensors = pack(batch)
    before = batch.positions.copy()
    tensors.positions.zero_()
    tensors.atomic_numbers.zero_()
    assert np.array_equal(batch.positions, before)
    assert batch.atomic_numbers.min() > 0


def test_sums_are_in_double_precision_and_by_structure() -> None:
    tensors = pack(StructureBatch(np.ones(3, dtype=np.int64), np.zeros((3, 3)), np.array([2, 1]), ("a", "b")))
    sums = tensors.sum_by_structure(torch.tensor([1.0e8, 1.0, 3.0], dtype=torch.float32))
    assert sums.tolist() == [100_000_001.0, 3.0]


@pytest.mark.parametrize("device", DEVICES)
def test_neighbours_are_those_on_the_cpu(device: str) -> None:
    batch = molecules()
    tensors = pack(batch)
    there = PackedTensors(
        *(getattr(tensors, name).to(device) for name in ("atomic_numbers", "positions", "n_atoms", "offsets")),
        tensors.system_idx.to(device),
        tensors.most_atoms,
    )
    assert np.array_equal(neighbours(there, 4.0).cpu().numpy(), packed_neighbours(batch, 4.0))
