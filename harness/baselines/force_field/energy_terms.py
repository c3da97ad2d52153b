"""Typed terms: products of powers of internal coordinates, and the types that share a coefficient.

Each term has several types, from coarse to fine, and its coefficient is the sum of those of its types. A fine type that
is absent from training contributes nothing, so the term falls back on its coarser types by construction. Atom labels
(element, number of neighbours, hybridisation) define the coarse types; labels together with those of the neighbours
define the fine ones. A torsion backs off further, to its middle bond with one end, and to the middle bond alone: if
training never showed two fragments side by side, each end is still known.

No term involves more than four consecutive atoms, so none acts between atoms that are farther apart along the bonds.
"""

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

import numpy as np

from dataset_builders.core.arrays import IntArray
from harness.baselines.force_field.topology import Topology, topology_of

Kind = Literal["stretch", "bend", "stretch-bend", "bend-bend", "torsion", "half-torsion", "centre"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

Exponents: TypeAlias = tuple[tuple[int, ...], ...]

HIGHEST_POWER: Final = 4

BASES: Final[Mapping[Kind, Exponents]] = MappingProxyType(
    {
        # bond
        "stretch": ((1,), (2,), (3,), (4,)),
        # angle, first bond, last bond
        "bend": ((1, 0, 0), (2, 0, 0), (3, 0, 0), (4, 0, 0), (0, 1, 1)),
        # angle, bond
        "stretch-bend": ((1, 1), (1, 2), (2, 1)),
        # two angles of one centre
        "bend-bend": ((1, 1),),
        # torsion; first, middle and last bond; first and last angle
        "torsion": (
            *((order, 0, 0, 0, 0, 0) for order in (1, 2, 3)),
            *((order, 0, 1, 0, 0, 0) for order in (1, 2, 3)),
            *((order, 1, 0, 1, 0, 0) for order in (0, 1)),
            *((order, 0, 0, 0, 1, 1) for order in (0, 1)),
        ),
        # torsion; bond and angle of one end
        "half-torsion": (*((order, 1, 0) for order in (1, 2, 3)), *((order, 0, 1) for order in (1, 2, 3))),
        # volume at a trigonal centre, whose sign depends on the order of its neighbours
        "centre": ((2,), (4,)),
    }
)
"""The functions of each kind of term, as exponents of its coordinates; for a torsion the exponent is the order n
of cos n phi. Sines do not occur: they change sign in the mirror image of a molecule, whose energy is the same."""

LEVELS: Final[Mapping[Kind, tuple[int, ...]]] = MappingProxyType(
    {
        "stretch": (0, 1),
        "bend": (0, 1, 2),
        "stretch-bend": (0, 1, 2),
        "bend-bend": (0, 1),
        "torsion": (0, 1, 1, 2, 3),
        "half-torsion": (0, 1, 2, 3),
        "centre": (0, 1),
    }
)
"""Fineness level of each type of a term, in their order; the two halves of a torsion have the same level."""

_Row: TypeAlias = tuple[tuple[int, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class TermList:
    """The terms of one kind in a molecule.

    Attributes:
        kind: Kind of the terms.
        coordinates: Indices of the internal coordinates, in the order of the exponents; shape (n_terms, n_places).
        types: Types of each term, coarsest first. A type may occur twice, if both ends of a term are alike.
    """

    kind: Kind
    coordinates: IntArray
    types: tuple[tuple[str, ...], ...]


@functools.lru_cache(maxsize=4096)
def terms_of(smiles: str) -> tuple[TermList, ...]:
    """The terms of a molecule, by kind.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    topology = topology_of(smiles)
    lists = []
    for kind in KINDS:
        rows = list(_ROWS[kind](topology))
        coordinates = np.array([row for row, _ in rows], dtype=np.int64).reshape(-1, len(BASES[kind][0]))
        types = tuple(tuple(f"{kind}/{name}" for name in names) for _, names in rows)
        lists.append(TermList(kind, coordinates, types))
    return tuple(lists)


@functools.lru_cache(maxsize=4096)
def atom_types_of(smiles: str) -> Mapping[str, int]:
    """Number of atoms of each type in a molecule; each atom has a coarse and a fine type.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    topology = topology_of(smiles)
    return MappingProxyType(Counter(f"atom/{name}" for name in (*topology.labels, *topology.environments)))


@functools.lru_cache(maxsize=4096)
def levels_of(smiles: str) -> Mapping[str, int]:
    """Fineness level of each type in a molecule, 0 for the coarsest.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    topology = topology_of(smiles)
    levels = dict.fromkeys((f"atom/{name}" for name in topology.environments), 1)
    levels |= dict.fromkeys((f"atom/{name}" for name in topology.labels), 0)
    for terms in terms_of(smiles):
        for types in terms.types:
            levels.update(zip(types, LEVELS[terms.kind], strict=True))
    return MappingProxyType(levels)


@functools.lru_cache(maxsize=4096)
def origin_names(smiles: str) -> tuple[str, ...]:
    """Names of the origins from which bonds and angles are measured: the mean of their coarsest type.

    Raises:
        DataError: If RDKit cannot read the SMILES.
    """
    topology = topology_of(smiles)
    labels = topology.labels
    atoms = (*topology.bonds, *topology.angles)
    return tuple(f"origin/{_either_way(*(labels[atom] for atom in each))}" for each in atoms)


def _stretches(topology: Topology) -> Iterator[_Row]:
    labels, environments = topology.labels, topology.environments
    for bond, (a, b) in enumerate(topology.bonds):
        yield (bond,), (_either_way(labels[a], labels[b]), _either_way(environments[a], environments[b]))


def _bends(topology: Topology) -> Iterator[_Row]:
    for number, (angle, bonds) in enumerate(zip(topology.angles, topology.bonds_of_angle, strict=True)):
        names = (_either_way(*triple) for triple in _triples(topology, *angle))
        yield (len(topology.bonds) + number, *bonds), tuple(names)


def _stretch_bends(topology: Topology) -> Iterator[_Row]:
    for number, (angle, bonds) in enumerate(zip(topology.angles, topology.bonds_of_angle, strict=True)):
        for atoms, bond in ((angle, bonds[0]), (angle[::-1], bonds[1])):
            names = ("-".join(triple) for triple in _triples(topology, *atoms))
            yield (len(topology.bonds) + number, bond), tuple(names)


def _bend_bends(topology: Topology) -> Iterator[_Row]:
    labels, environments = topology.labels, topology.environments
    of_centre = defaultdict(list)
    for number, (a, centre, b) in enumerate(topology.angles):
        of_centre[centre].append((len(topology.bonds) + number, {int(a), int(b)}))
    for centre, angles in of_centre.items():
        for (first, ends), (second, others) in itertools.combinations(angles, 2):
            shared = ",".join(labels[atom] for atom in ends & others)
            sides = sorted(",".join(sorted(labels[atom] for atom in side)) for side in (ends - others, others - ends))
            around = f"{shared}({'|'.join(sides)})"
            yield (first, second), (f"{labels[centre]}:{around}", f"{environments[centre]}:{around}")


def _torsions(topology: Topology) -> Iterator[_Row]:
    labels, environments = topology.labels, topology.environments
    start = len(topology.bonds) + len(topology.angles)
    for number, (atoms, parts) in enumerate(zip(topology.torsions, topology.parts_of_torsion, strict=True)):
        a, b, c, d = atoms
        halves = ("-".join((labels[a], labels[b], labels[c], "*")), "-".join((labels[d], labels[c], labels[b], "*")))
        yield (
            (start + number, *parts),
            (
                _either_way("*", labels[b], labels[c], "*"),
                *sorted(halves),
                _either_way(labels[a], labels[b], labels[c], labels[d]),
                _either_way(labels[a], environments[b], environments[c], labels[d]),
            ),
        )


def _half_torsions(topology: Topology) -> Iterator[_Row]:
    labels, environments = topology.labels, topology.environments
    start = len(topology.bonds) + len(topology.angles)
    for number, (atoms, parts) in enumerate(zip(topology.torsions, topology.parts_of_torsion, strict=True)):
        first_bond, _, last_bond, first_angle, last_angle = parts
        for (a, b, c, d), bond, angle in ((atoms, first_bond, first_angle), (atoms[::-1], last_bond, last_angle)):
            yield (
                (start + number, bond, angle),
                (
                    "-".join(("*", labels[b], labels[c], "*")),
                    "-".join((labels[a], labels[b], labels[c], "*")),
                    "-".join((labels[a], labels[b], labels[c], labels[d])),
                    "-".join((labels[a], environments[b], environments[c], labels[d])),
                ),
            )


def _centres(topology: Topology) -> Iterator[_Row]:
    start = len(topology.bonds) + len(topology.angles) + len(topology.torsions)
    for number, (centre, *_) in enumerate(topology.centres):
        yield (start + number,), (topology.labels[centre], topology.environments[centre])


_ROWS: Final[Mapping[Kind, Callable[[Topology], Iterator[_Row]]]] = MappingProxyType(
    {
        "stretch": _stretches,
        "bend": _bends,
        "stretch-bend": _stretch_bends,
        "bend-bend": _bend_bends,
        "torsion": _torsions,
        "half-torsion": _half_torsions,
        "centre": _centres,
    }
)


def _triples(topology: Topology, a: int, b: int, c: int) -> Iterator[tuple[str, str, str]]:
    """Names of three consecutive atoms, coarsest first."""
    labels, environments = topology.labels, topology.environments
    yield labels[a], labels[b], labels[c]
    yield labels[a], environments[b], labels[c]
    yield environments[a], environments[b], environments[c]


def _either_way(*names: str) -> str:
    """The same text for a sequence of atoms and its reverse."""
    return "-".join(min(names, names[::-1]))
