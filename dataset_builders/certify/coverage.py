"""The coverage certificate: which parts of the OOD molecules training shows.

Records and arithmetic only; `certify` fills them from the Parquet files of a data-set folder.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dataset_builders.certify.correlation import TimeCorrelation
from dataset_builders.certify.geometry.support import GeometricSupport
from dataset_builders.certify.labels.label_table import LabelReport
from dataset_builders.chemistry.environments import FAR_RADIUS, divergence, uncovered, undetermined
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.chemistry.molecule_parts import heavy_pairs, torsion_types
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import Task
from dataset_builders.tasks.skeleton import skeleton_of, spelling_of

RADII: Final = (1, 2, 3)
"""Radii, in bonds, at which coverage is reported."""

REQUIRED_RADIUS: Final = 1
"""Radius up to which training must cover every OOD molecule for a task to be certified."""

DIVERGENCE_RADIUS: Final = 2


@dataclass(frozen=True, slots=True)
class Coverage:
    """Coverage of the OOD molecules by training at one radius.

    Attributes:
        radius: Bonds from each heavy atom.
        n_molecules: Number of OOD molecules.
        uncovered: Ids of OOD molecules with an environment that is not in training.
    """

    radius: int
    n_molecules: int
    uncovered: tuple[str, ...]

    @property
    def n_covered(self) -> int:
        """Number of OOD molecules with every environment in training."""
        return self.n_molecules - len(self.uncovered)

    def __str__(self) -> str:
        return f"{self.n_covered}/{self.n_molecules}"


@dataclass(frozen=True, slots=True)
class TaskCertificate:
    """The certificate of one configuration.

    Attributes:
        config: Name of the configuration.
        n_train: Number of training molecules.
        n_ood: Number of OOD molecules.
        shared: Ids of the OOD molecules that are also in training; a valid task has none.
        coverage: Coverage at each of `RADII`.
        undetermined: Ids of the OOD molecules whose total energy, as a sum over environments of `REQUIRED_RADIUS`,
            training does not determine; forces and relative energies are not affected.
        far: Ids of the OOD molecules covered at `FAR_RADIUS`; `None` in a task without subsets.
        divergence: Divergence of the environment distributions at `DIVERGENCE_RADIUS`, 0 to 1.
        unseen_torsions: Torsion types that training never shows, by id of the OOD molecules that have some.
        unseen_pairs: Pairs of heavy elements, such as `Cl-N`, that no training molecule holds, likewise.
    """

    config: str
    n_train: int
    n_ood: int
    shared: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    undetermined: tuple[str, ...]
    far: tuple[str, ...] | None
    divergence: float
    unseen_torsions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unseen_pairs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def incomplete(self) -> frozenset[str]:
        """Ids of the OOD molecules with any part that training does not show, or an undetermined total energy."""
        uncovered_ids = (name for each in self.coverage for name in each.uncovered)
        return frozenset((*uncovered_ids, *self.undetermined, *self.unseen_torsions, *self.unseen_pairs))

    @property
    def ok(self) -> bool:
        """Whether all OOD molecules are unseen and training covers them."""
        return not self.shared and all(not each.uncovered for each in self.coverage if each.radius <= REQUIRED_RADIUS)


@dataclass(frozen=True, slots=True)
class ConfigSummary:
    """Content of a configuration.

    Attributes:
        config: Name of the configuration.
        task: Its task.
        method: Level of theory of its labels.
        metadata: The metadata of its files.
        n_rows: Number of frames by split.
        n_molecules: Number of molecules by split.
    """

    config: str
    task: Task
    method: str
    metadata: Mapping[str, Any]
    n_rows: Mapping[SplitName, int]
    n_molecules: Mapping[SplitName, int]


@dataclass(frozen=True, slots=True)
class DataSetCertificate:
    """The certificate of a data-set folder.

    Attributes:
        summaries: Content of each configuration, by name.
        tasks: The certificate of each configuration that has training and OOD molecules.
        missing: Tasks that are not in the folder.
        labels: Checks of the labels of each configuration.
        support: Geometric support of one configuration of each task, the one with the most training frames; empty if it
            was not measured.
        correlations: Correlation in time of imported trajectories, by configuration.
    """

    summaries: tuple[ConfigSummary, ...]
    tasks: tuple[TaskCertificate, ...]
    missing: tuple[str, ...]
    labels: tuple[LabelReport, ...] = ()
    support: tuple[GeometricSupport, ...] = ()
    correlations: tuple[TimeCorrelation, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every present configuration has a certificate and passes it."""
        certified = {each.config for each in self.tasks}
        return all(each.ok for each in self.tasks) and all(each.config in certified for each in self.summaries)


def certify_task(config: str, task: Task, train: Mapping[str, str], ood: Mapping[str, str]) -> TaskCertificate:
    """Computes the certificate of one configuration from its molecules.

    Args:
        config: Name of the configuration.
        task: Its task.
        train: SMILES of the training molecules by molecule id.
        ood: SMILES of the OOD molecules by molecule id.

    Raises:
        DataError: If there are no training or no OOD molecules, or RDKit cannot read a SMILES.
    """
    seen = {_identity(smiles) for smiles in train.values()}
    coverage = tuple(
        Coverage(radius, len(ood), _ids(ood, uncovered(train.values(), ood.values(), radius))) for radius in RADII
    )
    beyond = set(_ids(ood, uncovered(train.values(), ood.values(), FAR_RADIUS)))
    return TaskCertificate(
        config=config,
        n_train=len(train),
        n_ood=len(ood),
        shared=tuple(name for name, smiles in ood.items() if _identity(smiles) in seen),
        coverage=coverage,
        undetermined=_ids(ood, undetermined(train.values(), ood.values(), REQUIRED_RADIUS)),
        far=tuple(name for name in ood if name not in beyond) if task.has_subsets else None,
        divergence=divergence(train.values(), ood.values(), DIVERGENCE_RADIUS),
        unseen_torsions=_unseen(train, ood, torsion_types),
        unseen_pairs=_unseen(train, ood, _pair_names),
    )


def _unseen(
    train: Mapping[str, str], ood: Mapping[str, str], parts_of: Callable[[str], Iterable[str]]
) -> dict[str, tuple[str, ...]]:
    """Parts that training never shows, by id of the OOD molecules that have some."""
    known = {part for smiles in train.values() for part in parts_of(smiles)}
    found = {name: tuple(sorted(set(parts_of(smiles)) - known)) for name, smiles in ood.items()}
    return {name: parts for name, parts in found.items() if parts}


def _pair_names(smiles: str) -> Iterator[str]:
    return ("-".join(pair) for pair in heavy_pairs(smiles))


def _ids(molecules: Mapping[str, str], chosen: Iterable[str]) -> tuple[str, ...]:
    wanted = set(chosen)
    return tuple(name for name, smiles in molecules.items() if smiles in wanted)


def _identity(smiles: str) -> str:
    return spelling_of(skeleton_of(molecule(smiles)))


SUMMARY_HEADER: Final = ("config", "labels", "edition", "train", "validation", "test_id", "test_ood")


def summary_rows(summaries: Sequence[ConfigSummary]) -> list[tuple[str, ...]]:
    """Number of frames of each configuration and split as table rows under `SUMMARY_HEADER`."""
    splits: tuple[SplitName, ...] = ("train", "validation", "test_id", "test_ood")
    return [
        (each.config, each.method, str(each.metadata.get("edition", "?")), *(f"{each.n_rows[s]:,}" for s in splits))
        for each in summaries
    ]
