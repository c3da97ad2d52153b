"""The solvability certificate: training covers the parts of every OOD molecule.

Records and arithmetic only; `certify` fills them from the Parquet files of a data-set folder.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dataset_builders.certify.labels.label_table import LabelReport
from dataset_builders.chemistry.environments import FAR_RADIUS, divergence, uncovered, undetermined
from dataset_builders.chemistry.mmff94 import molecule
from dataset_builders.tasks.editions import SplitName
from dataset_builders.tasks.regions import Task

RADII: Final = (1, 2, 3)
"""Radii, in bonds, at which coverage is reported."""

REQUIRED_RADIUS: Final = 1
"""Radius up to which training must cover every OOD molecule for the task to be solvable."""

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
    """

    config: str
    n_train: int
    n_ood: int
    shared: tuple[str, ...]
    coverage: tuple[Coverage, ...]
    undetermined: tuple[str, ...]
    far: tuple[str, ...] | None
    divergence: float

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
    """

    summaries: tuple[ConfigSummary, ...]
    tasks: tuple[TaskCertificate, ...]
    missing: tuple[str, ...]
    labels: tuple[LabelReport, ...] = ()

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
    seen = {_canonical(smiles) for smiles in train.values()}
    coverage = tuple(
        Coverage(radius, len(ood), _ids(ood, uncovered(train.values(), ood.values(), radius))) for radius in RADII
    )
    beyond = set(_ids(ood, uncovered(train.values(), ood.values(), FAR_RADIUS)))
    return TaskCertificate(
        config=config,
        n_train=len(train),
        n_ood=len(ood),
        shared=tuple(name for name, smiles in ood.items() if _canonical(smiles) in seen),
        coverage=coverage,
        undetermined=_ids(ood, undetermined(train.values(), ood.values(), REQUIRED_RADIUS)),
        far=tuple(name for name in ood if name not in beyond) if task.has_subsets else None,
        divergence=divergence(train.values(), ood.values(), DIVERGENCE_RADIUS),
    )


def _ids(molecules: Mapping[str, str], chosen: Iterable[str]) -> tuple[str, ...]:
    wanted = set(chosen)
    return tuple(name for name, smiles in molecules.items() if smiles in wanted)


def _canonical(smiles: str) -> str:
    from rdkit import Chem

    return str(Chem.MolToSmiles(Chem.RemoveHs(molecule(smiles))))


CERTIFICATE_HEADER: Final = (
    "config",
    "train molecules",
    "OOD molecules",
    "in both",
    *(f"covered at radius {radius}" for radius in RADII),
    "total energy fixed",
    "far/near",
    "divergence",
)


def certificate_rows(tasks: Sequence[TaskCertificate]) -> list[tuple[str, ...]]:
    """The certificates as table rows under `CERTIFICATE_HEADER`."""
    return [
        (
            each.config,
            str(each.n_train),
            str(each.n_ood),
            str(len(each.shared)),
            *(str(coverage) for coverage in each.coverage),
            f"{each.n_ood - len(each.undetermined)}/{each.n_ood}",
            "-" if each.far is None else f"{len(each.far)}/{each.n_ood - len(each.far)}",
            f"{each.divergence:.2f}",
        )
        for each in tasks
    ]


def certificate_notes(tasks: Sequence[TaskCertificate]) -> list[str]:
    """Details for the table: the molecules in both sets, not covered, or with undetermined energy."""
    notes = []
    for each in tasks:
        if each.shared:
            notes.append(f"{each.config}, in training and OOD: {', '.join(each.shared)}")
        for coverage in each.coverage:
            if coverage.uncovered:
                notes.append(
                    f"{each.config}, not covered at radius {coverage.radius}: {_named(coverage.uncovered, each)}"
                )
        if each.undetermined:
            notes.append(f"{each.config}, total energy not determined by training: {_named(each.undetermined, each)}")
    return notes


def _named(ids: Sequence[str], certificate: TaskCertificate) -> str:
    return "all" if len(ids) == certificate.n_ood else ", ".join(ids)


SUMMARY_HEADER: Final = ("config", "labels", "edition", "train", "validation", "test_id", "test_ood")


def summary_rows(summaries: Sequence[ConfigSummary]) -> list[tuple[str, ...]]:
    """Number of frames of each configuration and split as table rows under `SUMMARY_HEADER`."""
    splits: tuple[SplitName, ...] = ("train", "validation", "test_id", "test_ood")
    return [
        (each.config, each.method, str(each.metadata.get("edition", "?")), *(f"{each.n_rows[s]:,}" for s in splits))
        for each in summaries
    ]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal, with left-aligned columns."""
    widths = [max(len(line[column]) for line in (header, *rows)) for column in range(len(header))]
    lines = (header, ["-" * width for width in widths], *rows)
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
