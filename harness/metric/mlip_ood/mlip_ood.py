"""Force and relative-energy errors of an interatomic potential, for the `evaluate` library."""

from typing import TypedDict

import datasets
import evaluate
import numpy as np

from dataset_builders.core.arrays import IntArray
from dataset_builders.core.errors import DataError
from dataset_builders.tasks.drawn import Drawn
from harness.scoring.clusters import clusters_of
from harness.scoring.influences import sum_by_molecule
from harness.scoring.intervals import IntervalSettings, ratio_interval, spearman_interval
from harness.scoring.metric_terms import Float64Array, centre_energies, centred_energy_terms, force_terms

_DESCRIPTION = """
Errors of the energies and forces that a machine-learning interatomic potential predicts, with 95 %
confidence intervals for other molecules drawn like these; where fragments are given, for other
fragments: what molecules have in common makes their errors alike, so it is drawn as one. Energies are
compared within each molecule only, after centring, which frees them of the zero that a model counts
its energies from.
"""

_INPUTS = """
Args:
    predictions: For each structure `{"energy": eV, "forces": [eV/Å, flat: x, y, z of each atom]}`.
    references: The same of the labels.
    molecule_id: For each structure the name of its molecule.
    fragments: For each molecule, by name, the list of its fragments that could have been others; molecules are
        drawn one by one where it is not given.
    confidence: How often an interval is to cover the number of the population, 0.95 by default.

Returns:
    For each metric `NAME`, `NAME_low` and `NAME_high`; `None` where it is undefined or, for the ends,
    where there are too few of what is drawn: force_mae, force_rmse, force_magnitude_mae (eV/Å), force_cosine
    (mean over atoms whose forces are both 1 meV/Å or more), centred_energy_mae (eV) and
    centred_energy_spearman. Then n_structures and n_molecules.
"""

_FORCE_METRICS = ("force_mae", "force_rmse", "force_cosine", "force_magnitude_mae")


class Structure(TypedDict):
    """Energy (eV) and forces (eV/Å, flat) of one structure."""

    energy: float
    forces: list[float]


class MlipOod(evaluate.Metric):  # type: ignore[misc]  # `evaluate` has no types
    """Errors of energies and forces, with confidence intervals."""

    def _info(self) -> evaluate.MetricInfo:
        labels = {"energy": datasets.Value("float64"), "forces": datasets.List(datasets.Value("float64"))}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": labels, "references": labels, "molecule_id": datasets.Value("string")}
            ),
        )

    def _compute(
        self,
        predictions: list[Structure],
        references: list[Structure],
        molecule_id: list[str],
        fragments: dict[str, list[str]] | None = None,
        confidence: float = 0.95,
    ) -> dict[str, float | int | None]:
        settings = IntervalSettings(confidence)
        predicted_energy, predicted_forces, n_atoms = _unpack(predictions, "predictions")
        reference_energy, reference_forces, reference_n_atoms = _unpack(references, "references")
        _require_equal_sizes(n_atoms, reference_n_atoms)
        molecules, molecule_idx = np.unique(np.asarray(molecule_id, dtype=np.str_), return_inverse=True)
        clusters = clusters_of("structures", molecules.tolist(), _drawn(molecules.tolist(), fragments))
        centred = centre_energies(predicted_energy, reference_energy, molecule_idx)
        forces = force_terms(predicted_forces, reference_forces)
        atom_idx = np.repeat(molecule_idx, n_atoms)
        sums = {name: sum_by_molecule(forces[name], atom_idx, len(molecules)) for name in _FORCE_METRICS}
        sums["centred_energy_mae"] = sum_by_molecule(centred_energy_terms(centred), molecule_idx, len(molecules))
        intervals = {
            name: ratio_interval(metric, clusters, "complement" if name == "force_cosine" else "log", settings)
            for name, metric in sums.items()
        }
        intervals["centred_energy_spearman"] = spearman_interval(centred, molecule_idx, clusters, settings)
        result: dict[str, float | int | None] = {}
        for name, interval in intervals.items():
            result |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return result | {"n_structures": len(n_atoms), "n_molecules": len(molecules)}


def _drawn(molecules: list[str], fragments: dict[str, list[str]] | None) -> Drawn:
    if fragments is None:
        return Drawn("molecule", {name: (name,) for name in molecules})
    return Drawn("fragment", {name: tuple(sorted(set(own))) for name, own in fragments.items()})


def _unpack(structures: list[Structure], name: str) -> tuple[Float64Array, Float64Array, IntArray]:
    """Energies (n_structures,), forces (n_atoms_total, 3) and numbers of atoms (n_structures,)."""
    lengths = np.array([len(structure["forces"]) for structure in structures], dtype=np.int64)
    odd = np.flatnonzero((lengths % 3 != 0) | (lengths == 0))
    if len(odd):
        at = int(odd[0])
        raise DataError(f"{name}[{at}] has {lengths[at]} force components; expected 3 for each atom, in a flat list")
    energy = np.array([structure["energy"] for structure in structures], dtype=np.float64)
    forces = np.concatenate([np.asarray(structure["forces"], dtype=np.float64) for structure in structures])
    return energy, forces.reshape(-1, 3), lengths // 3


def _require_equal_sizes(predicted: IntArray, reference: IntArray) -> None:
    differs = np.flatnonzero(predicted != reference)
    if len(differs):
        at = int(differs[0])
        raise DataError(
            f"predictions[{at}] has forces on {predicted[at]} atoms and references[{at}] on {reference[at]}; "
            "expected the same atoms in the same order"
        )
