"""Whether the forces of a model that nobody here knows belong to its energies: a look at two molecules before a run.

Atoms are displaced by a little, and the change of the energy is compared with the work of the forces. What is odd is
said by name and judged by nobody: a sign, a factor as of another unit, energies per atom, forces of other atoms or of
another geometry.
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
"""Length of the displacement of all atoms together, Å: 0.1 eV in a molecule at 300 K, far above rounding."""

_TOLERANCE: Final = 0.05
"""By how much of itself the work of the forces may differ from the change of the energy."""
_TOLERANCE_ACROSS: Final = 0.02
"""How much of the length of all forces together they may miss along a direction that has nothing to do with them."""
_NOISES: Final = 5.0
"""How many times the uncertainty of a slope a difference has to be."""
_ALIKE: Final = 0.03
"""Within what share of it the factors of two molecules count as one."""
_NEAR: Final = (0.8, 1.25)
"""Factors that rather come from forces which are no derivative than from another unit."""
_DIRECT: Final = (0.5, 2.0)
"""Factors that forces which are not meant to be a derivative may have."""
_REPEATED: Final = 0.02
"""By how much of the largest force two answers to one question may differ."""
_IN_ANY_ORDER: Final = ("ase", "torchsim")
"""Families that are told no SMILES, so that atoms can be put in another order."""

_UNITS: Final = {"eV": 1.0, "Hartree": HARTREE, "kcal/mol": KCAL_PER_MOL, "kJ/mol": KJ_PER_MOL, "meV": MILLI}
_FORCE_UNITS: Final = {
    **{f"{name}/Å": value for name, value in _UNITS.items()},
    "Hartree/Bohr": HARTREE_PER_BOHR,
    "eV/Bohr": 1.0 / BOHR,
}


@dataclass(frozen=True, slots=True)
class _Answers:
    """What a model says of one molecule.

    Attributes:
        direction: Of the displacement, shape (n_atoms, 3), of length 1.
        base: Of the geometry as it is.
        moved: Of the geometries displaced by STEP times -2, -1, 1 and 2.
        across: Another direction, which has nothing to do with the forces.
        moved_across: Of the geometries displaced along it by STEP times -1 and 1.
        again: Of the geometry as it is, asked last.
    """

    direction: FloatArray
    base: Prediction
    moved: tuple[Prediction, ...]
    across: FloatArray
    moved_across: tuple[Prediction, ...]
    again: Prediction

    @property
    def work(self) -> float:
        """Of the forces, per length of the displacement, eV/Å."""
        return float((self.base.forces * self.direction).sum())

    @property
    def energies(self) -> FloatArray:
        """Of the displaced geometries, shape (4,), eV."""
        return np.array([float(each.energy[0]) for each in self.moved])

    @property
    def slopes(self) -> tuple[float, float]:
        """Decrease of the energy per length of the displacement, eV/Å: from the nearer and the farther two energies."""
        minus_two, minus, plus, plus_two = self.energies
        return float(minus - plus) / (2.0 * STEP), float(minus_two - plus_two) / (4.0 * STEP)

    @property
    def slope(self) -> float:
        """That of an infinitely small displacement, as far as it can be had from the two."""
        near, far = self.slopes
        return (4.0 * near - far) / 3.0

    @property
    def uncertainty(self) -> float:
        """Of the slope, eV/Å: how far the two are apart, and the rounding of the energies."""
        near, far = self.slopes
        energies = np.append(self.energies, self.base.energy)
        single = bool((energies.astype(np.float32) == energies).all())
        resolution = float(np.finfo(np.float32 if single else np.float64).eps * np.abs(energies).max())
        return abs(near - far) + resolution / STEP

    @property
    def largest(self) -> float:
        """Force component, eV/Å."""
        return float(np.abs(self.base.forces).max())

    @property
    def noise(self) -> float:
        """What a difference has to exceed, eV/Å."""
        return max(_NOISES * self.uncertainty, _TOLERANCE * max(abs(self.work), abs(self.slope)))

    @property
    def missed(self) -> float:
        """Change of the energy along the other direction that the forces do not account for, eV/Å."""
        minus, plus = (float(each.energy[0]) for each in self.moved_across)
        return abs((minus - plus) / (2.0 * STEP) - float((self.base.forces * self.across).sum()))

    @property
    def agrees(self) -> bool:
        """Whether the forces account for the change of the energy."""
        room = max(_NOISES * self.uncertainty, _TOLERANCE_ACROSS * float(np.linalg.norm(self.base.forces)))
        return abs(self.slope - self.work) <= self.noise and self.missed <= room

    @property
    def factor(self) -> float | None:
        """By which the change of the energy exceeds the work of the forces; `None` where they are too small to tell."""
        is_small = max(abs(self.work), abs(self.slope)) <= 2.0 * _NOISES * self.uncertainty
        return None if is_small or self.work == 0.0 else self.slope / self.work


def two_molecules(window: Window) -> list[StructureBatch]:
    """Two frames to try a model on: of the molecules with most elements the smallest, of different sizes."""
    _, first = np.unique(window.smiles.astype(str), return_index=True)
    frames = [window.batch(window.start + int(place), window.start + int(place) + 1) for place in first]
    frames.sort(key=lambda frame: (-len(np.unique(frame.atomic_numbers)), len(frame.atomic_numbers)))
    others = [frame for frame in frames if len(frame.atomic_numbers) != len(frames[0].atomic_numbers)]
    return [frames[0], *(others or frames[1:])[:1]]


def cautions_about(potential: Potential, molecules: Sequence[StructureBatch]) -> tuple[str, ...]:
    """What is odd about a model, in sentences; nothing where nothing is, or where it fails on these molecules.

    Args:
        potential: The model.
        molecules: Batches of one structure each, two at best.

    Raises:
        ModelError: If what it returns is no prediction.
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
    in_batch = [] if _agrees_in_a_batch(potential, pairs) else [f"{model} gives other numbers in a batch than alone"]
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
    # Along the forces the energy changes most; the rest is there to notice forces along which alone it is right.
    direction = other / np.linalg.norm(other) + (base.forces / length if length else 0.0)
    direction /= np.linalg.norm(direction)
    across = np.random.default_rng(1).normal(size=base.forces.shape)
    across /= np.linalg.norm(across)
    # The geometry as it is comes again after the one that differs most from it.
    shifts = [-STEP * across, STEP * across, *(step * STEP * direction for step in (-2.0, -1.0, 1.0, 2.0))]
    moved = [_answer(potential, replace(molecule, positions=molecule.positions + shift)) for shift in shifts]
    again = _answer(potential, molecule)
    there = tuple(each for each in moved if each is not None)
    if again is None or len(there) < len(shifts):
        return None
    return _Answers(direction, base, there[2:], across, there[:2], again)


def _answer(potential: Potential, batch: StructureBatch) -> Prediction | None:
    """What the model says; `None` where it fails, which is for the run to tell."""
    try:
        prediction = potential.compute(batch)
    except RuntimeError as cause:
        if not isinstance(cause, getattr(sys.modules.get("torch"), "OutOfMemoryError", ())):
            raise
        return None
    complete = np.isfinite(prediction.energy).all() and np.isfinite(prediction.forces).all()
    return prediction if complete and not prediction.failures else None


def _stale(found: Sequence[_Answers]) -> str | None:
    """What is odd about answers that are not of the geometry that was asked for."""
    if any(not _same(each.base, each.again, each) for each in found):
        return "gives other numbers for a geometry when it is asked again: they depend on what was computed before"
    still_energy = all((each.energies == each.base.energy[0]).all() for each in found)
    still_forces = all(all(np.array_equal(other.forces, each.base.forces) for other in each.moved) for each in found)
    should_change = all(abs(each.work) > _NOISES * each.uncertainty for each in found)
    if still_energy and still_forces:  # a model that predicts zeros does so honestly
        both = "gives the same energy and the same forces when atoms are displaced: they are of another geometry"
        return both if any(each.largest for each in found) else None
    if still_forces and not any(each.largest for each in found):
        return "gives no forces, and an energy that changes when atoms are displaced"
    if still_forces:
        return "gives the same forces when atoms are displaced, and another energy: they are of another geometry"
    if still_energy and should_change:
        return "gives the same energy when atoms are displaced, and forces that are not zero"
    return None


def _same(first: Prediction, second: Prediction, scale: _Answers) -> bool:
    """Whether two predictions are of one geometry, but for rounding."""
    energy = float(np.abs(first.energy - second.energy).max())
    forces = float(np.abs(first.forces - second.forces).max())
    room = max(_REPEATED * max(abs(scale.slope), abs(scale.work)), _NOISES * scale.uncertainty) * STEP
    return energy <= 10.0 * room and forces <= _REPEATED * scale.largest


def _follows_the_order(potential: Potential, pairs: Sequence[tuple[StructureBatch, _Answers]]) -> str | None:
    """What is odd about the answers when atoms are put in another order."""
    if potential.traits.family not in _IN_ANY_ORDER:
        return None
    for molecule, answers in pairs:
        order = np.random.default_rng(1).permutation(len(molecule.atomic_numbers))
        shuffled = replace(molecule, atomic_numbers=molecule.atomic_numbers[order], positions=molecule.positions[order])
        there = _answer(potential, shuffled)
        here = replace(answers.base, forces=answers.base.forces[order])
        if there is not None and not _same(here, there, answers):
            return "gives other numbers when atoms are put in another order: forces may be those of other atoms"
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
    """What one factor between energies and forces says, where there is one for all molecules."""
    factors = [each.factor for each in found]
    known = [factor for factor in factors if factor is not None]
    if not known or len(known) < len(found):
        return None
    sizes = [len(each.direction) for each in found]
    per_atom = [factor * size for factor, size in zip(known, sizes, strict=True)]
    for sign, text in ((1.0, ""), (-1.0, ", and forces of the wrong sign")):
        if len(set(sizes)) > 1 and all(abs(sign * each - 1.0) <= 2.0 * _TOLERANCE for each in per_atom):
            return f"gives energies per atom{text}; expected those of whole molecules"
    factor = float(np.mean(known))
    if all(abs(each + 1.0) <= 2.0 * _TOLERANCE for each in known):
        return "gives forces of the wrong sign: its energy rises where they point"
    if not _is_one(known) or _NEAR[0] <= factor <= _NEAR[1]:
        return None
    sign_text = "forces of the wrong sign, and " if factor < 0.0 else ""
    likely = _likely_units(abs(factor))
    return (
        f"gives {sign_text}an energy that changes by {abs(factor):.3g} times the work of its forces"
        f"{f', as with {likely}' if likely else ''}; expected eV and eV/Å"
    )


def _is_one(factors: Sequence[float]) -> bool:
    mean = float(np.mean(factors))
    return len(factors) > 1 and all(abs(factor - mean) <= _ALIKE * abs(mean) for factor in factors)


def _likely_units(factor: float) -> str | None:
    """Units of energy and force whose ratio is the factor, where they are not eV and eV/Å."""
    fitting = [
        (force != "eV/Å" and energy != "eV", f"energies in {energy} and forces in {force}")
        for energy, energy_unit in _UNITS.items()
        for force, force_unit in _FORCE_UNITS.items()
        if abs(factor * energy_unit / force_unit - 1.0) <= _ALIKE
    ]
    # One slip is likelier than two.
    return min(fitting)[1] if fitting else None


def _not_conservative(potential: Potential, found: Sequence[_Answers]) -> str:
    missed = max(max(abs(each.slope - each.work), each.missed) for each in found)
    # Where the order of atoms cannot be tried, forces of other atoms look the same.
    order = "" if potential.traits.family in _IN_ANY_ORDER else ", or are those of other atoms"
    return (
        f"gives forces that are not the derivative of its energy{order}: along a displacement the two differ by "
        f"{missed:.2g} eV/Å"
    )
