"""Tests on two molecules before a run whether the forces of an unknown model are consistent with its energies.

Atoms are slightly displaced, and the change of the energy is compared with the work of the forces. Inconsistencies
are reported as cautions and do not stop the run: a wrong sign, a factor that suggests another unit, energies per atom,
forces of other atoms or of another geometry.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.units import BOHR, HARTREE, HARTREE_PER_BOHR, KCAL_PER_MOL, KJ_PER_MOL, MILLI
from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import Potential
from harness.inference.windows import Window

STEP: Final = 0.01
"""Norm of the displacement over all atoms, Å; the energy changes by 0.1 eV at 300 K, far above rounding."""

_TOLERANCE: Final = 0.05
"""Relative tolerance between the work of the forces and the change of the energy."""
_TOLERANCE_ACROSS: Final = 0.02
"""Tolerance along a direction independent of the forces, relative to the norm of all forces."""
_NOISES: Final = 5.0
"""Minimum significant difference, in units of the uncertainty of a slope."""
_ALIKE: Final = 0.03
"""Relative difference within which the factors of two molecules count as equal."""
_NEAR: Final = (0.8, 1.25)
"""Factors that more likely result from non-conservative forces than from another unit."""
_DIRECT: Final = (0.5, 2.0)
"""Factors that are accepted for forces declared as non-conservative."""
_REPEATED: Final = 0.02
"""Tolerance between two predictions for one geometry, relative to the largest force."""
_IN_ANY_ORDER: Final = ("ase", "torchsim")
"""Families that do not use the SMILES, so that atoms can be permuted."""

_UNITS: Final = {"eV": 1.0, "Hartree": HARTREE, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KJ_PER_MOL, "meV": MILLI}
_FORCE_UNITS: Final = {
    **{f"{name}/Å": value for name, value in _UNITS.items()},
    "Hartree/Bohr": HARTREE_PER_BOHR,
    "eV/Bohr": 1.0 / BOHR,
}


@dataclass(frozen=True, slots=True)
class _Answers:
    """Predictions of a model for one molecule.

    Attributes:
        direction: Direction of the displacement, shape (n_atoms, 3), normalised.
        base: Prediction for the original geometry.
        moved: Predictions for the geometries displaced by STEP times -2, -1, 1 and 2.
        across: Another direction, independent of the forces.
        moved_across: Predictions for the geometries displaced along it by STEP times -1 and 1.
        again: Prediction for the original geometry, computed last.
    """

    direction: FloatArray
    base: Prediction
    moved: tuple[Prediction, ...]
    across: FloatArray
    moved_across: tuple[Prediction, ...]
    again: Prediction

    @property
    def work(self) -> float:
        """Work of the forces per length of the displacement, eV/Å."""
        return float((self.base.forces * self.direction).sum())

    @property
    def energies(self) -> FloatArray:
        """Energies of the displaced geometries, shape (4,), eV."""
        return np.array([float(each.energy[0]) for each in self.moved])

    @property
    def slopes(self) -> tuple[float, float]:
        """Decrease of the energy per length of the displacement, eV/Å, from the inner and the outer two energies."""
        minus_two, minus, plus, plus_two = self.energies
        return float(minus - plus) / (2.0 * STEP), float(minus_two - plus_two) / (4.0 * STEP)

    @property
    def slope(self) -> float:
        """Slope for an infinitesimal displacement, extrapolated from the two, eV/Å."""
        near, far = self.slopes
        return (4.0 * near - far) / 3.0

    @property
    def uncertainty(self) -> float:
        """Uncertainty of the slope, eV/Å: difference of the two slopes plus rounding of the energies."""
        near, far = self.slopes
        energies = np.append(self.energies, self.base.energy)
        # An energy beyond float32 becomes infinite, and so differs.
        with np.errstate(over="ignore"):
            single = bool((energies.astype(np.float32) == energies).all())
        resolution = float(np.finfo(np.float32 if single else np.float64).eps * np.abs(energies).max())
        return abs(near - far) + resolution / STEP

    @property
    def largest(self) -> float:
        """Largest force component, eV/Å."""
        return float(np.abs(self.base.forces).max())

    @property
    def noise(self) -> float:
        """Minimum significant difference, eV/Å."""
        return max(_NOISES * self.uncertainty, _TOLERANCE * max(abs(self.work), abs(self.slope)))

    @property
    def missed(self) -> float:
        """Change of the energy along the other direction that the forces do not explain, eV/Å."""
        minus, plus = (float(each.energy[0]) for each in self.moved_across)
        return abs((minus - plus) / (2.0 * STEP) - float((self.base.forces * self.across).sum()))

    @property
    def agrees(self) -> bool:
        """Whether the forces explain the change of the energy."""
        room = max(_NOISES * self.uncertainty, _TOLERANCE_ACROSS * float(np.linalg.norm(self.base.forces)))
        return abs(self.slope - self.work) <= self.noise and self.missed <= room

    @property
    def factor(self) -> float | None:
        """Change of the energy divided by the work of the forces; `None` if they are too small to compare."""
        is_small = max(abs(self.work), abs(self.slope)) <= 2.0 * _NOISES * self.uncertainty
        return None if is_small or self.work == 0.0 else self.slope / self.work


def two_molecules(window: Window) -> list[StructureBatch]:
    """Two frames to test: the smallest of the molecules with most elements, of different sizes."""
    _, first = np.unique(window.smiles.astype(str), return_index=True)
    frames = [window.batch(window.start + int(place), window.start + int(place) + 1) for place in first]
    frames.sort(key=lambda frame: (-len(np.unique(frame.atomic_numbers)), len(frame.atomic_numbers)))
    others = [frame for frame in frames if len(frame.atomic_numbers) != len(frames[0].atomic_numbers)]
    return [frames[0], *(others or frames[1:])[:1]]


def cautions_about(potential: Potential, molecules: Sequence[StructureBatch]) -> tuple[str, ...]:
    """Inconsistencies of a model, in sentences; empty if there are none, or if it fails on these molecules.

    Args:
        potential: The model.
        molecules: Batches of one structure each, preferably two.

    Raises:
        ModelError: If it returns no valid prediction.
    """
    model = potential.traits.model_id
    answers = [_asked(potential, molecule) for molecule in molecules]
    pairs = [(molecule, each) for molecule, each in zip(molecules, answers, strict=True) if each is not None]
    if not pairs:
        return ()
    found = [each for _, each in pairs]
    stale = _stale(found)
    if stale is not None:
        return (f"{model} {stale}",)
    reordered = _follows_the_order(potential, pairs)
    in_batch = (
        [] if _agrees_in_a_batch(potential, pairs) else [f"{model} returns different numbers in a batch than alone"]
    )
    direct = potential.traits.conservative is False and all(
        each.factor is None or _DIRECT[0] <= each.factor <= _DIRECT[1] for each in found
    )
    if direct or all(each.agrees for each in found):
        return (*([f"{model} {reordered}"] if reordered else []), *in_batch)
    return (f"{model} {_odd_factor(found) or reordered or _not_conservative(potential, found)}", *in_batch)


def _asked(potential: Potential, molecule: StructureBatch) -> _Answers | None:
    base = _answer(potential, molecule)
    if base is None:
        return None
    other = np.random.default_rng(0).normal(size=base.forces.shape)
    length = float(np.linalg.norm(base.forces))
    # The energy changes most along the forces; the random part detects forces correct only in that direction.
    direction = other / np.linalg.norm(other) + (base.forces / length if length else 0.0)
    direction /= np.linalg.norm(direction)
    across = np.random.default_rng(1).normal(size=base.forces.shape)
    across /= np.linalg.norm(across)
    # The original geometry is computed again after the one that differs most from it.
    shifts = [-STEP * across, STEP * across, *(step * STEP * direction for step in (-2.0, -1.0, 1.0, 2.0))]
    moved = [_answer(potential, replace(molecule, positions=molecule.positions + shift)) for shift in shifts]
    again = _answer(potential, molecule)
    there = tuple(each for each in moved if each is not None)
    if again is None or len(there) < len(shifts):
        return None
    return _Answers(direction, base, there[2:], across, there[:2], again)


def _answer(potential: Potential, batch: StructureBatch) -> Prediction | None:
    """Prediction of the model; `None` if it fails, which the run reports."""
    try:
        prediction = potential.compute(batch)
    except RuntimeError as cause:
        if not isinstance(cause, getattr(sys.modules.get("torch"), "OutOfMemoryError", ())):
            raise
        return None
    complete = np.isfinite(prediction.energy).all() and np.isfinite(prediction.forces).all()
    return prediction if complete and not prediction.failures else None


def _stale(found: Sequence[_Answers]) -> str | None:
    """Describes predictions that do not belong to the given geometry."""
    if any(not _same(each.base, each.again, each) for each in found):
        return "returns different numbers for a geometry on a second call: they depend on what was computed before"
    still_energy = all((each.energies == each.base.energy[0]).all() for each in found)
    still_forces = all(all(np.array_equal(other.forces, each.base.forces) for other in each.moved) for each in found)
    should_change = all(abs(each.work) > _NOISES * each.uncertainty for each in found)
    if still_energy and still_forces:  # a model that predicts zeros is consistent
        both = "returns the same energy and forces when atoms are displaced: they belong to another geometry"
        return both if any(each.largest for each in found) else None
    if still_forces and not any(each.largest for each in found):
        return "returns zero forces, but an energy that changes when atoms are displaced"
    if still_forces:
        return "returns the same forces when atoms are displaced, but another energy: they belong to another geometry"
    if still_energy and should_change:
        return "returns the same energy when atoms are displaced, but forces that are not zero"
    return None


def _same(first: Prediction, second: Prediction, scale: _Answers) -> bool:
    """Whether two predictions agree within rounding."""
    energy = float(np.abs(first.energy - second.energy).max())
    forces = float(np.abs(first.forces - second.forces).max())
    room = max(_REPEATED * max(abs(scale.slope), abs(scale.work)), _NOISES * scale.uncertainty) * STEP
    return energy <= 10.0 * room and forces <= _REPEATED * scale.largest


def _follows_the_order(potential: Potential, pairs: Sequence[tuple[StructureBatch, _Answers]]) -> str | None:
    """Describes predictions that change when atoms are permuted."""
    if potential.traits.family not in _IN_ANY_ORDER:
        return None
    for molecule, answers in pairs:
        order = np.random.default_rng(1).permutation(len(molecule.atomic_numbers))
        shuffled = replace(molecule, atomic_numbers=molecule.atomic_numbers[order], positions=molecule.positions[order])
        there = _answer(potential, shuffled)
        here = replace(answers.base, forces=answers.base.forces[order])
        if there is not None and not _same(here, there, answers):
            return "returns different numbers when atoms are permuted: forces may belong to other atoms"
    return None


def _agrees_in_a_batch(potential: Potential, pairs: Sequence[tuple[StructureBatch, _Answers]]) -> bool:
    if len(pairs) < 2:
        return True
    (first, alone), (second, other) = pairs[:2]
    both = StructureBatch(
        np.concatenate([first.atomic_numbers, second.atomic_numbers]),
        np.concatenate([first.positions, second.positions]),
        np.concatenate([first.n_atoms, second.n_atoms]),
        (*first.smiles, *second.smiles),
    )
    together = _answer(potential, both)
    if together is None:
        return True
    middle = len(first.atomic_numbers)
    parts = (
        Prediction(together.energy[:1], together.forces[:middle], {}),
        Prediction(together.energy[1:], together.forces[middle:], {}),
    )
    return _same(alone.base, parts[0], alone) and _same(other.base, parts[1], other)


def _odd_factor(found: Sequence[_Answers]) -> str | None:
    """Describes a common factor between energies and forces, if all molecules have the same."""
    factors = [each.factor for each in found]
    known = [factor for factor in factors if factor is not None]
    if not known or len(known) < len(found):
        return None
    sizes = [len(each.direction) for each in found]
    per_atom = [factor * size for factor, size in zip(known, sizes, strict=True)]
    for sign, text in ((1.0, ""), (-1.0, ", and forces of the wrong sign")):
        if len(set(sizes)) > 1 and all(abs(sign * each - 1.0) <= 2.0 * _TOLERANCE for each in per_atom):
            return f"returns energies per atom{text}; expected total energies of molecules"
    factor = float(np.mean(known))
    if all(abs(each + 1.0) <= 2.0 * _TOLERANCE for each in known):
        return "returns forces of the wrong sign: its energy rises in their direction"
    if not _is_one(known) or _NEAR[0] <= factor <= _NEAR[1]:
        return None
    sign_text = "forces of the wrong sign, and " if factor < 0.0 else ""
    likely = _likely_units(abs(factor))
    return (
        f"returns {sign_text}an energy that changes by {abs(factor):.3g} times the work of its forces"
        f"{f', as with {likely}' if likely else ''}; expected eV and eV/Å"
    )


def _is_one(factors: Sequence[float]) -> bool:
    mean = float(np.mean(factors))
    return len(factors) > 1 and all(abs(factor - mean) <= _ALIKE * abs(mean) for factor in factors)


def _likely_units(factor: float) -> str | None:
    """Units of energy and force whose ratio is the factor, if they are not eV and eV/Å."""
    fitting = [
        (force != "eV/Å" and energy != "eV", f"energies in {energy} and forces in {force}")
        for energy, energy_unit in _UNITS.items()
        for force, force_unit in _FORCE_UNITS.items()
        if abs(factor * energy_unit / force_unit - 1.0) <= _ALIKE
    ]
    # One wrong unit is more likely than two.
    return min(fitting)[1] if fitting else None


def _not_conservative(potential: Potential, found: Sequence[_Answers]) -> str:
    missed = max(max(abs(each.slope - each.work), each.missed) for each in found)
    # If permuting atoms cannot be tested, forces of other atoms look the same.
    order = "" if potential.traits.family in _IN_ANY_ORDER else ", or belong to other atoms"
    return (
        f"returns forces that are not the derivative of its energy{order}: along a displacement the two differ by "
        f"{missed:.2g} eV/Å"
    )
