"""Geometries: a conformer, MMFF94 molecular dynamics, then a burst of GFN2-xTB molecular dynamics.

Every burst has its own conformer and random numbers, derived from the seed of the build, the molecule, the trajectory
and the index of the burst. So bursts can be computed in any order and on any machine, and the primary and the secondary
trajectory are independent.
"""

import functools
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from dataset_builders.chemistry.mmff94 import Mmff94, atomic_numbers_of, molecule
from dataset_builders.chemistry.xtb import XtbSeries
from dataset_builders.core.arrays import FloatArray
from dataset_builders.core.errors import ConvergenceError
from dataset_builders.tasks.editions import FRAMES_PER_BURST, TrajectoryName

if TYPE_CHECKING:
    from ase import Atoms


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parameters of a burst; the same for every edition.

    Attributes:
        temperature: Temperature of the Langevin thermostat, K.
        time_step: Time step, fs.
        seed_steps: MMFF94 steps from the embedded conformer to the start of the burst.
        seed_friction: Langevin friction of those steps, 1/fs.
        burst_steps: GFN2-xTB steps before the first frame.
        burst_friction: Langevin friction of the burst, 1/fs.
        frame_interval: GFN2-xTB steps between frames.
        xtb_accuracy: SCF accuracy of the dynamics (labels are tighter).
    """

    temperature: float = 300.0
    time_step: float = 1.0
    seed_steps: int = 1000
    seed_friction: float = 0.02
    burst_steps: int = 100
    burst_friction: float = 0.05
    frame_interval: int = 20
    xtb_accuracy: float = 1.0

    def as_dict(self) -> dict[str, float | int]:
        """The recipe as plain numbers, for metadata."""
        return asdict(self)


RECIPE: Final = Recipe()
MAX_ATTEMPTS: Final = 5
HYDROGEN_BOND_LIMIT: Final = 1.3
"""A bond to hydrogen longer than this multiple of the sum of the covalent radii is broken. In 6,212 frames of the mini
edition the longest has 1.144, of 480 frames of GFN2-xTB dynamics at 600 K 1.19, at 1,000 K 1.28."""

HEAVY_BOND_LIMIT: Final = 1.25
"""The same for a bond between other atoms: 1.10, 1.14 and 1.18 in the same frames. C-C is broken above 1.90 Å."""

CONTACT_LIMIT: Final = 1.35
"""Atoms separated by three bonds or more and closer than this multiple of that sum have reacted. In the same frames the
closest pair has 1.60, hydrogen bonds 1.8; a proton midway between two atoms has 1.18 (S) to 1.30 (F) to both."""

ANGLE_LIMIT: Final = 1.25
"""The same for two neighbours of one atom, which small angles bring together: 1.416 in the same frames (C-C-Cl); 1.41
across a four-membered ring at rest. A three-membered ring that has formed has 1.0."""


@dataclass(frozen=True, slots=True)
class Burst:
    """The frames of one burst.

    Attributes:
        positions: Shape (FRAMES_PER_BURST, n_atoms, 3), float32, Å.
        attempts: Number of seeds tried; 1 if the first one succeeded.
        causes: Errors of the failed seeds.
    """

    positions: FloatArray
    attempts: int
    causes: tuple[str, ...]


def seed_sequence(
    seed: int, molecule_id: str, trajectory: TrajectoryName, burst: int, attempt: int
) -> np.random.SeedSequence:
    """The random numbers of one burst: the same on every machine and for any order of bursts."""
    text = f"mlip-ood|{seed}|{molecule_id}|{trajectory}|{burst}|{attempt}"
    return np.random.SeedSequence(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))


def sample_burst(
    smiles: str, molecule_id: str, trajectory: TrajectoryName, burst: int, seed: int, recipe: Recipe = RECIPE
) -> Burst:
    """Computes the frames of one burst, with a new seed after a failed attempt.

    Raises:
        ConvergenceError: If `MAX_ATTEMPTS` seeds fail; the message gives the cause of each.
    """
    causes: list[str] = []
    for attempt in range(MAX_ATTEMPTS):
        random = np.random.Generator(np.random.PCG64(seed_sequence(seed, molecule_id, trajectory, burst, attempt)))
        try:
            positions = _attempt(smiles, random, recipe)
        except ConvergenceError as cause:
            causes.append(str(cause))
        else:
            return Burst(positions, attempt + 1, tuple(causes))
    raise ConvergenceError(
        f"{molecule_id} ({smiles}), {trajectory} burst {burst}: {MAX_ATTEMPTS} seeds failed: " + "; ".join(causes)
    )


def _attempt(smiles: str, random: np.random.Generator, recipe: Recipe) -> FloatArray:
    from ase import Atoms, units
    from ase.md.velocitydistribution import thermalize_momenta
    from ase.parallel import DummyMPI

    atoms = Atoms(numbers=atomic_numbers_of(smiles), positions=embed(smiles, int(random.integers(2**31 - 1))))
    thermalize_momenta(atoms, recipe.temperature, comm=DummyMPI(), rng=random)
    field = Mmff94(smiles)
    _run_langevin(atoms, field.singlepoint, recipe.seed_steps, recipe.seed_friction / units.fs, random, recipe)
    xtb = XtbSeries("GFN2-xTB", atoms.numbers, accuracy=recipe.xtb_accuracy)
    frames = []
    steps = recipe.burst_steps
    for _ in range(FRAMES_PER_BURST):
        _run_langevin(atoms, xtb.singlepoint, steps, recipe.burst_friction / units.fs, random, recipe)
        frames.append((atoms.positions - atoms.positions.mean(axis=0)).astype(np.float32))
        steps = recipe.frame_interval
    positions = np.stack(frames)
    check_bonds(smiles, positions)
    return positions


def embed(smiles: str, random_seed: int) -> FloatArray:
    """One ETKDGv3 conformer, relaxed with MMFF94; shape (n_atoms, 3), Å.

    Source: Wang et al., J. Chem. Inf. Model. 60, 2044 (2020).

    Raises:
        ConvergenceError: If the distance geometry finds no conformer.
    """
    from rdkit import Chem
    from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

    mol = Chem.Mol(molecule(smiles))
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = random_seed  # type: ignore[assignment]  # wrong in RDKit's stubs
    if rdDistGeom.EmbedMolecule(mol, parameters) < 0:
        raise ConvergenceError(f"ETKDGv3 found no conformer of {smiles} with seed {random_seed}")
    rdForceFieldHelpers.MMFFOptimizeMolecule(mol, maxIters=500)
    return np.array(mol.GetConformer().GetPositions(), dtype=np.float64)


def check_bonds(smiles: str, positions: FloatArray) -> None:
    """Checks that the bonds of every frame are those of the SMILES.

    Args:
        smiles: SMILES of the molecule.
        positions: Shape (n_frames, n_atoms, 3), Å.

    Raises:
        ConvergenceError: If a bond has broken or formed.
    """
    bonds, others, bond_limit, other_limit = _distance_limits(smiles)
    coordinates = positions.astype(np.float64)
    lengths = np.linalg.norm(coordinates[:, bonds[:, 0]] - coordinates[:, bonds[:, 1]], axis=-1)
    if (lengths > bond_limit).any():
        frame, bond = (int(index) for index in np.argwhere(lengths > bond_limit)[0])
        first, second = bonds[bond]
        raise ConvergenceError(
            f"bond {first}-{second} of {smiles} is {lengths[frame, bond]:.2f} Å long in frame {frame} "
            f"of the burst, limit {bond_limit[bond]:.2f} Å"
        )
    contacts = np.linalg.norm(coordinates[:, others[:, 0]] - coordinates[:, others[:, 1]], axis=-1)
    if (contacts < other_limit).any():
        frame, pair = (int(index) for index in np.argwhere(contacts < other_limit)[0])
        first, second = others[pair]
        raise ConvergenceError(
            f"atoms {first} and {second} of {smiles} are {contacts[frame, pair]:.2f} Å apart in frame {frame} "
            f"of the burst without a bond, limit {other_limit[pair]:.2f} Å"
        )


@functools.lru_cache(maxsize=256)
def _distance_limits(smiles: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bonded and non-bonded pairs of atoms, each of shape (n_pairs, 2), and the limit of each distance, Å."""
    from ase.data import covalent_radii
    from rdkit import Chem

    numbers = atomic_numbers_of(smiles)
    n_bonds_between = Chem.GetDistanceMatrix(molecule(smiles))
    pairs = np.stack(np.triu_indices(len(numbers), k=1), axis=1)
    first, second = pairs.T
    reach = covalent_radii[numbers[first]] + covalent_radii[numbers[second]]
    n_between = n_bonds_between[first, second]
    has_hydrogen = (numbers[first] == 1) | (numbers[second] == 1)
    longest = np.where(has_hydrogen, HYDROGEN_BOND_LIMIT, HEAVY_BOND_LIMIT) * reach
    closest = np.where(n_between == 2, ANGLE_LIMIT, CONTACT_LIMIT) * reach
    is_bond = n_between == 1
    return pairs[is_bond], pairs[~is_bond], longest[is_bond], closest[~is_bond]


def _run_langevin(
    atoms: "Atoms",
    singlepoint: Callable[[FloatArray], tuple[float, FloatArray]],
    steps: int,
    friction: float,
    random: np.random.Generator,
    recipe: Recipe,
) -> None:
    from ase import units
    from ase.md.langevin import Langevin
    from ase.parallel import DummyMPI

    atoms.calc = _Forces(singlepoint)
    dynamics = Langevin(
        atoms,
        timestep=recipe.time_step * units.fs,
        temperature_K=recipe.temperature,
        friction=friction,
        rng=random,
        comm=DummyMPI(),  # in an MPI job, ASE would run one trajectory on all processes in lockstep
        fixcm=False,  # ASE's fixed centre of mass does not sample NVT exactly
    )
    dynamics.run(steps)


class _Forces:
    """The part of ASE's calculator interface that molecular dynamics needs.

    ASE's own `Calculator` compares cell, charges and magnetic moments at every call, which costs more
    than MMFF94 itself.
    """

    def __init__(self, singlepoint: Callable[[FloatArray], tuple[float, FloatArray]]) -> None:
        self._singlepoint = singlepoint
        self._positions: FloatArray = np.empty((0, 3))
        self._forces: FloatArray = np.empty((0, 3))

    def get_forces(self, atoms: "Atoms") -> FloatArray:
        """Forces, shape (n_atoms, 3), eV/Å; cached, since ASE calls it twice per step."""
        if not np.array_equal(atoms.positions, self._positions):
            self._positions = atoms.positions.copy()
            _, self._forces = self._singlepoint(self._positions)
        return self._forces.copy()
