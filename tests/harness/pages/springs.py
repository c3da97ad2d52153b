"""Calculators for the report's tests: springs to the origin, which fail on demand."""

from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


class Springs(Calculator):  # type: ignore[misc]
    implemented_properties = ("energy", "forces")

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self._fails = fails

    def calculate(self, atoms: Atoms | None = None, properties: Any = ("energy",), changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, changes)
        places = self.atoms.positions
        if self._fails and places[0, 0] > 0.0:
            raise RuntimeError("<i>no convergence</i>")
        self.results = {"energy": float((places**2).sum()), "forces": -2.0 * places * (1.0 + 0.1 * np.sin(places))}


def steady(path: Path | None, device: str) -> Calculator:
    return Springs(fails=False)


def failing(path: Path | None, device: str) -> Calculator:
    return Springs(fails=True)
