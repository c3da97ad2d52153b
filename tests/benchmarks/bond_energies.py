"""Fits `dataset_builders.chemistry.bond_energies` to energies of small molecules at each level of theory.

    python -m tests.benchmarks.bond_energies [--level wb97x]

Geometries are minima of GFN2-xTB. The fit is drawn towards mean bond enthalpies (kJ/mol, from common tables), scaled to
the level: not every kind of bond occurs apart from others. Benzene is computed with GFN2-xTB only; an aromatic bond has
the scaled enthalpy with the density functionals. Needs PySCF for these, and takes about an hour for all levels.
"""

import argparse

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS

from dataset_builders.chemistry.bond_energies import atoms_energy, bonds_of
from dataset_builders.chemistry.labels import compute_label
from dataset_builders.chemistry.levels import LEVELS, find_level
from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.chemistry.xtb import XtbSeries

MOLECULES = ["C", "CC", "CO", "COC", "CN", "CNC", "CF", "CCl", "CS", "CSC", "C#N", "CC#N", "C=O", "CC=O", "CC(=O)O"]
MOLECULES += ["C#C", "C=C", "O", "N", "S"]
XTB_MOLECULES = [*MOLECULES, "CC(N)=O", "c1ccccc1", "COC=O", "CC(C)(C)C", "CCC", "CCO"]
ENTHALPIES = {
    "C-C": 346, "C-H": 414, "C-O": 358, "C=O": 745, "C-N": 305, "C#N": 887, "H-O": 464, "H-N": 391, "C-F": 485,
    "C-Cl": 339, "C-S": 272, "H-S": 363, "C=C": 611, "C#C": 837, "C~C": 507,
}  # fmt: skip
STIFFNESS = 0.5
"""Weight of the scaled enthalpies beside the molecules, each of which has one over the root of its number of bonds."""


class Xtb(Calculator):
    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, forces = XtbSeries("GFN2-xTB", atoms.numbers).singlepoint(atoms.positions)
        self.results = {"energy": energy, "forces": forces}


def minimum(smiles):
    atoms = Atoms(numbers=atomic_numbers_of(smiles), positions=embed(smiles, 7), calculator=Xtb())
    BFGS(atoms, logfile=None).run(fmax=0.02, steps=200)
    return atoms.positions


def fit(energies):
    """Bond energies, eV, from energies of atomisation by SMILES."""
    kinds = sorted(ENTHALPIES)
    counts = np.array([[bonds_of(smiles).get(kind, 0) for kind in kinds] for smiles in energies], dtype=float)
    wanted = np.array(list(energies.values()))
    prior = np.array([ENTHALPIES[kind] for kind in kinds], dtype=float)
    prior *= wanted.sum() / (counts @ prior).sum()
    weights = 1.0 / np.sqrt(counts.sum(axis=1))
    design = np.vstack([counts * weights[:, None], STIFFNESS * np.eye(len(kinds))])
    target = np.concatenate([(wanted - counts @ prior) * weights, np.zeros(len(kinds))])
    return dict(zip(kinds, prior + np.linalg.lstsq(design, target, rcond=None)[0], strict=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--level", choices=LEVELS, nargs="+", default=[*LEVELS])
    for name in parser.parse_args().level:
        level = find_level(name)
        energies = {}
        for smiles in MOLECULES if level.dft else XTB_MOLECULES:
            energy, _ = compute_label(level, atomic_numbers_of(smiles), minimum(smiles))
            energies[smiles] = atoms_energy(name, smiles) - energy
        print(name)
        for kind, energy in fit(energies).items():
            print(f'    "{kind}": {energy:.3f},')


if __name__ == "__main__":
    main()
