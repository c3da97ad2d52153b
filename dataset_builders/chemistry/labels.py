"""Labels at any level of theory, and their metadata."""

import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from dataset_builders.chemistry.dft import dft_singlepoint, programs
from dataset_builders.chemistry.levels import Level
from dataset_builders.chemistry.xtb import LABEL_ACCURACY, cold_singlepoint
from dataset_builders.core.arrays import FloatArray, IntArray


def compute_label(level: Level, atomic_numbers: IntArray, positions: FloatArray) -> tuple[float, FloatArray]:
    """Energy and forces of one neutral closed-shell molecule, from a cold start of the SCF.

    Args:
        level: Level of theory.
        atomic_numbers: Shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.

    Returns:
        Total energy in eV and forces in eV/Å, shape (n_atoms, 3), float64.

    Raises:
        ConvergenceError: If the SCF does not converge or gives a number that is not finite.
        MissingPackageError: If the program is not installed.
    """
    if level.dft is None:
        return cold_singlepoint("GFN2-xTB", atomic_numbers, positions)
    return dft_singlepoint(level.dft, atomic_numbers, positions)


def label_metadata(level: Level) -> dict[str, Any]:
    """Metadata of the labels of a level; labels with equal metadata are interchangeable."""
    if level.dft is None:
        return {"method": level.method, "program": "tblite", "scf": f"cold start, accuracy {LABEL_ACCURACY:g}"}
    # As JSON returns it, with lists for tuples, so that it can be compared with the metadata of a file.
    settings = json.loads(json.dumps(asdict(level.dft)))
    return {"method": level.method, "program": label_versions(level), "settings": settings}


def label_versions(level: Level) -> dict[str, str]:
    """Versions of the packages that a label depends on, by name.

    Raises:
        MissingPackageError: If one is not installed.
    """
    names = ("tblite",) if level.dft is None else programs()
    return {name: version(name) for name in names}
