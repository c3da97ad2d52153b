"""Reference energies of elements, exported in the forms that trainers read."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from dataset_builders.chemistry.isolated_atoms import ISOLATED_ATOMS
from dataset_builders.chemistry.levels import level_of_method
from dataset_builders.core.arrays import FloatArray, IntArray
from harness.data.rows import HEAVIEST_ELEMENT, SplitRows
from harness.scoring.reference_shift import count_elements

ENERGIES_NAME: Final = "reference_energies.json"
_FAIRCHEM_ELEMENTS: Final = 100
"""Length of fairchem's list of `elem_refs`, which is indexed by atomic number."""


@dataclass(slots=True)
class TrainStatistics:
    """Mean energy of each composition in `train`, to fit reference energies of elements; mean square of the forces.

    A least-squares fit to these means, weighted by the number of frames, equals the fit to all frames. There are never
    more means than molecules, regardless of the number of frames.

    Attributes:
        seen: Number of frames, energy of the first one and sum of the differences from it, eV, by composition: atoms of
            each element from 1 to `HEAVIEST_ELEMENT`, as bytes.
        squares: Sum of the squared force components, (eV/Å)^2.
        n_components: Number of force components.
    """

    seen: dict[bytes, tuple[int, float, float]] = field(default_factory=dict)
    squares: float = 0.0
    n_components: int = 0

    def counting(self, pieces: Iterable[SplitRows]) -> Iterator[SplitRows]:
        """Yields the rows unchanged and counts them."""
        elements = tuple(range(1, HEAVIEST_ELEMENT + 1))
        for rows in pieces:
            counts = count_elements(rows.atomic_numbers, rows.n_atoms, elements).astype(np.int32)
            for composition, energy in zip(counts, rows.energy.tolist(), strict=True):
                key = composition.tobytes()
                n_frames, first, rest = self.seen.get(key, (0, energy, 0.0))
                self.seen[key] = (n_frames + 1, first, rest + (energy - first))
            self.squares += float(np.square(rows.forces, dtype=np.float64).sum())
            self.n_components += rows.forces.size
            yield rows

    def fit(self) -> "FittedEnergies":
        """One energy per element, by least squares; if the fit is not unique, the solution of least norm."""
        compositions = np.array([np.frombuffer(key, dtype=np.int32) for key in self.seen], dtype=np.float64)
        n_frames, first, rest = np.array(list(self.seen.values()), dtype=np.float64).T
        elements = np.flatnonzero(compositions.any(axis=0))
        weight = np.sqrt(n_frames)
        counts, means = compositions[:, elements], first + rest / n_frames
        energies, _, rank, _ = np.linalg.lstsq(counts * weight[:, None], means * weight, rcond=None)
        return FittedEnergies(elements + 1, energies, int(rank), math.sqrt(self.squares / self.n_components))


@dataclass(frozen=True, slots=True)
class FittedEnergies:
    """Energies of elements, fitted to total energies.

    Attributes:
        elements: Atomic numbers, ascending, shape (n_elements,).
        energies: Shape (n_elements,), eV.
        rank: Rank of the composition matrix.
        force_rms: Root mean square of the force components of the same frames, eV/Å.
    """

    elements: IntArray
    energies: FloatArray
    rank: int
    force_rms: float

    @property
    def by_symbol(self) -> dict[str, float]:
        """The energies, eV, by symbol."""
        from ase.data import chemical_symbols

        pairs = zip(self.elements.tolist(), self.energies.tolist(), strict=True)
        return {chemical_symbols[number]: energy for number, energy in pairs}

    @property
    def caution(self) -> str | None:
        """A caution if the frames do not determine the energies uniquely; else `None`."""
        if self.rank == len(self.elements):
            return None
        return (
            f"the compositions of train have rank {self.rank}, but there are {len(self.elements)} elements: the frames "
            "determine energies of whole compositions, not of each element. These are the least-norm energies; none is "
            "that of an atom"
        )


def isolated_energies(level_of_theory: str, symbols: Iterable[str]) -> tuple[dict[str, float] | None, str | None]:
    """Energies of isolated atoms at a level of theory, if known.

    Returns:
        Energies in eV by symbol, and the reason if there are none.
    """
    level = level_of_method(level_of_theory)
    if level is None or level.name not in ISOLATED_ATOMS:
        return None, f"those of {level_of_theory} are not known: compute the atoms as the labels were computed"
    known = ISOLATED_ATOMS[level.name]
    missing = [symbol for symbol in symbols if symbol not in known]
    if missing:
        return None, f"those of {' '.join(missing)} at {level_of_theory} are not known: compute them as the labels were"
    return {symbol: known[symbol] for symbol in symbols}, None


def energies_text(level_of_theory: str, fitted: FittedEnergies) -> str:
    """The document `reference_energies.json`."""
    by_symbol = fitted.by_symbol
    isolated, reason = isolated_energies(level_of_theory, by_symbol)
    document = {
        "unit": "eV; force_rms in eV/Å",
        "level_of_theory": level_of_theory,
        "elements": list(by_symbol),
        "isolated_atoms": isolated,
        "no_isolated_atoms_because": reason,
        "least_squares": by_symbol,
        "least_squares_rank": fitted.rank,
        "least_squares_caution": fitted.caution,
        "force_rms": fitted.force_rms,
        "forms": {
            "isolated_atoms": None if isolated is None else forms(isolated),
            "least_squares": forms(by_symbol),
        },
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def forms(energies: Mapping[str, float]) -> dict[str, Any]:
    """Energies of elements in the formats of trainers.

    Args:
        energies: eV, by symbol.

    Returns:
        By trainer: `mace`, the text of `--E0s`, by atomic number; `nequip`, `per_type_energy_shifts`, by symbol;
        `sevennet`, `shift`, a list in the alphabetical order of the symbols, the order of species in SevenNet;
        `fairchem`, `elem_refs`, a list indexed by atomic number; `graph-pes`, the arguments of
        `FixedOffset` or `LearnableOffset`.
    """
    from ase.data import atomic_numbers

    numbers = {int(atomic_numbers[symbol]): energy for symbol, energy in energies.items()}
    counted = [numbers.get(number, 0.0) for number in range(max(_FAIRCHEM_ELEMENTS, max(numbers) + 1))]
    return {
        "mace": "{" + ", ".join(f"{number}: {energy!r}" for number, energy in sorted(numbers.items())) + "}",
        "nequip": dict(energies),
        "sevennet": [energies[symbol] for symbol in sorted(energies)],
        "fairchem": counted,
        "graph-pes": dict(energies),
    }
