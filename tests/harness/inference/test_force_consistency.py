"""Models with one thing wrong, and honest ones of little precision: what is said of them before a run."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_builders.core.arrays import FloatArray, IntArray
from dataset_builders.core.units import BOHR, HARTREE, KCAL_PER_MOL
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import PotentialTraits
from harness.data.dataset import open_dataset
from harness.data.scan import scan_dataset
from harness.inference.batching import make_plan
from harness.inference.force_consistency import cautions_about, two_molecules
from harness.inference.windows import read_windows
from tests.harness.potentials.molecules import molecules

Answer = tuple[float, FloatArray]
Law = Callable[[IntArray, FloatArray], Answer]
METHANOL, ETHYLAMINE = 0, 2


def pairs(numbers: IntArray, positions: FloatArray) -> Answer:
    """Morse potentials between all atoms, of depth 1 eV per proton of both, and an energy of each atom of its own."""
    arms = positions[:, None] - positions[None]
    lengths = np.linalg.norm(arms, axis=2) + np.eye(len(numbers))
    depth = np.sqrt(numbers[:, None] * numbers[None]) * (1.0 - np.eye(len(numbers)))
    falling = np.exp(-1.5 * (lengths - 1.2))
    energy = -100.0 * float(numbers.sum()) + 0.5 * float((depth * (falling**2 - 2.0 * falling)).sum())
    slope = depth * 1.5 * (2.0 * falling - 2.0 * falling**2)
    return energy, -((slope / lengths)[..., None] * arms).sum(axis=1)


TRAITS = PotentialTraits("odd", "ase", None)


@dataclass
class Model:
    """A potential that follows a law, structure by structure."""

    law: Law
    traits: PotentialTraits = TRAITS

    def compute(self, batch: StructureBatch) -> Prediction:
        energy, forces = [], []
        for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
            each, theirs = self.law(batch.atomic_numbers[start:stop], batch.positions[start:stop])
            energy.append(each)
            forces.append(theirs)
        return Prediction(np.array(energy), np.concatenate(forces), {})


def cautions(law: Law, **traits: object) -> tuple[str, ...]:
    batch = molecules()
    tried = [batch.slice(number, number + 1) for number in (METHANOL, ETHYLAMINE)]
    model = Model(law)
    return cautions_about(replace(model, traits=replace(model.traits, **traits)), tried)  # type: ignore[arg-type]


def scaled(energy: float, forces: float) -> Law:
    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        own, theirs = pairs(numbers, positions)
        return energy * own, forces * theirs

    return law


def per_atom(sign: float) -> Law:
    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        energy, forces = pairs(numbers, positions)
        return energy / len(numbers), sign * forces

    return law


def in_order_of(key: Callable[[IntArray], IntArray]) -> Law:
    """Forces in the order that the atoms have when they are sorted."""

    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        order = np.argsort(key(numbers), kind="stable")
        return pairs(numbers[order], positions[order])

    return law


def remembering(*, energy: bool, forces: bool) -> Law:
    """What is remembered is of the first geometry of a molecule of that size."""
    known: dict[int, Answer] = {}

    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        now = pairs(numbers, positions)
        first = known.setdefault(len(numbers), now)
        return first[0] if energy else now[0], first[1] if forces else now[1]

    return law


def late() -> Law:
    """The answer to the question before."""
    known: dict[int, Answer] = {}

    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        now = pairs(numbers, positions)
        before = known.get(len(numbers), now)
        known[len(numbers)] = now
        return before

    return law


def with_a_curl(numbers: IntArray, positions: FloatArray) -> Answer:
    energy, forces = pairs(numbers, positions)
    arm = positions - positions.mean(axis=0)
    return energy, forces + 0.2 * np.abs(forces).max() * np.cross(arm, [0.0, 0.0, 1.0])


WRONG: dict[str, tuple[Law, str]] = {
    "gradients": (scaled(1.0, -1.0), "returns forces of the wrong sign"),
    "energies of the wrong sign": (scaled(-1.0, 1.0), "returns forces of the wrong sign"),
    "energies per atom": (per_atom(1.0), "returns energies per atom; expected"),
    "gradients and energies per atom": (per_atom(-1.0), "returns energies per atom, and forces of the wrong sign"),
    "Hartree": (scaled(1.0 / HARTREE, 1.0), "0.0367 times .* energies in Hartree and forces in eV/Å"),
    "kcal/mol": (scaled(1.0 / KCAL_PER_MOL, 1.0), "23.1 times .* energies in kcal/mol and forces in eV/Å"),
    "Hartree/Bohr": (scaled(1.0, BOHR / HARTREE), "51.4 times .* energies in eV and forces in Hartree/Bohr"),
    "eV/Bohr": (scaled(1.0, BOHR), "1.89 times .* energies in eV and forces in eV/Bohr"),
    "negative kcal/mol": (
        scaled(-1.0 / KCAL_PER_MOL, 1.0),
        "wrong sign, and an energy that changes by 23",
    ),
    "forces times 1.5": (scaled(1.0, 1.5), "changes by 0.667 times the work of its forces; expected eV"),
    "forces times 1.1": (scaled(1.0, 1.1), "are not the derivative of its energy"),
    "no forces": (scaled(1.0, 0.0), "returns zero forces, but an energy that changes"),
    "no energy": (scaled(0.0, 1.0), "returns the same energy when atoms are displaced, but forces that are not"),
    "light atoms first": (in_order_of(lambda numbers: numbers), "when atoms are permuted"),
    "heavy atoms first": (in_order_of(lambda numbers: -numbers), "when atoms are permuted"),
    "old answers": (remembering(energy=True, forces=True), "same energy and forces .* belong to another geometry"),
    "old forces": (
        remembering(energy=False, forces=True),
        "same forces .* another energy: they belong to another geom",
    ),
    "old energies": (remembering(energy=True, forces=False), "returns the same energy when atoms are displaced"),
    "late answers": (late(), "on a second call: they depend on what was computed before"),
    "a curl": (with_a_curl, "returns forces that are not the derivative of its energy: along a displacement"),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_what_is_wrong_is_reported_by_name(name: str) -> None:
    law, expected = WRONG[name]
    (said,) = cautions(law)
    assert said.startswith("odd returns")
    assert re.search(expected, said), said


def test_one_that_reorders_atoms_is_named_where_bonds_come_from_the_smiles_too() -> None:
    (said,) = cautions(in_order_of(lambda numbers: numbers), family="springs")
    assert "not the derivative of its energy, or belong to other atoms" in said


def rounded(numbers: IntArray, positions: FloatArray) -> Answer:
    energy, forces = pairs(numbers, positions.astype(np.float32).astype(np.float64))
    return float(np.float32(energy)), forces.astype(np.float32).astype(np.float64)


def of_large_energies(numbers: IntArray, positions: FloatArray) -> Answer:
    energy, forces = pairs(numbers, positions)
    return float(np.float32(energy - 4.0e4)), forces


def noisy() -> Law:
    random = np.random.default_rng(0)

    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        energy, forces = pairs(numbers, positions)
        return energy + random.normal(scale=5e-4), forces + random.normal(scale=1e-4, size=forces.shape)

    return law


@pytest.mark.parametrize(
    "law",
    [pairs, rounded, of_large_energies, noisy(), scaled(0.0, 0.0), scaled(3.0, 3.0), scaled(1e-3, 1e-3)],
    ids=["exact", "float32", "large", "noisy", "zero", "stiff", "soft"],
)
def test_an_honest_model_is_cautioned_for_nothing(law: Law) -> None:
    assert cautions(law) == ()


def test_forces_that_are_not_meant_to_be_a_derivative_are_cautioned_by_the_report_alone() -> None:
    assert cautions(with_a_curl, conservative=False) == ()
    (said,) = cautions(scaled(1.0, -1.0), conservative=False)
    assert "wrong sign" in said


def test_a_batch_that_is_mixed_up_is_reported() -> None:
    class Mixed(Model):
        def compute(self, batch: StructureBatch) -> Prediction:
            prediction = super().compute(batch)
            return replace(prediction, energy=prediction.energy[::-1])

    batch = molecules()
    assert cautions_about(Mixed(pairs), [batch.slice(0, 1), batch.slice(2, 3)]) == (
        "odd returns different numbers in a batch than alone",
    )


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), None])
def test_of_a_model_that_fails_on_these_molecules_nothing_is_reported(error: Exception | None) -> None:
    def law(numbers: IntArray, positions: FloatArray) -> Answer:
        if error is not None:
            raise error
        return np.nan, np.zeros_like(positions)

    assert cautions(law) == ()


def test_molecules_of_many_elements_and_different_sizes_are_tried(tiny_dataset: Path) -> None:
    dataset = open_dataset(str(tiny_dataset))
    plan = make_plan(scan_dataset(dataset, ("task1",)), 512)
    first, second = two_molecules(next(read_windows(dataset, plan)))
    assert (first.smiles, second.smiles) == (("CCF",), ("CCO",))


@pytest.mark.filterwarnings("error")
def test_energies_beyond_single_precision_are_judged_without_a_warning_of_numpy() -> None:
    (found,) = cautions(scaled(1e300, 1.0))
    assert "an energy that changes by 1e+300 times the work of its forces" in found
