"""Declares the rows of the table: all models of the study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Literal, get_args

from dataset_builders.core.errors import UsageError
from harness.networks.architectures import IN_ENVIRONMENTS
from harness.networks.compiling import COMPILABLE
from harness.train.defaults import parse_architecture

RowKind = Literal["control", "zero-shot", "trained", "fine-tuned"]
GroupName = Literal["main", "ablation"]

MAIN: Final = "main"
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the study.

    Attributes:
        name: Name in records, tables and figures.
        title: Readable description.
        kind: `control` has no training set; `zero-shot` is an unchanged checkpoint; `trained` and `fine-tuned` are
            trained on each task, the latter from a checkpoint.
        group: `main`, or `ablation` for a variant that answers one question and runs only on request.
        model: Value of `--model`: a built-in name of a control, or the name under which the command line of
            the study passes a checkpoint to a zero-shot or fine-tuned row. `None` if the weights come with a package:
            a zero-shot row then has the name of the model, and a fine-tuned one names it in `train`.
        train: Options of `harness train` for the row; empty if it is not trained.
        seeded: Whether runs with different seeds differ.
        budgeted: Whether its training uses the epochs or steps of the study.
        budget_factor: Factor on that length.
        compiles: Whether its training can be compiled.
        packages: Packages whose versions may affect its numbers.
        environment: Environment in which it is trained and computed; `None` for that of the harness.
    """

    name: str
    title: str
    kind: RowKind
    group: GroupName = "main"
    model: str | None = None
    train: tuple[str, ...] = ()
    seeded: bool = False
    budgeted: bool = False
    budget_factor: float = 1.0
    compiles: bool = False
    packages: tuple[str, ...] = ()
    environment: str | None = None

    @property
    def is_trained(self) -> bool:
        """Whether the row is trained on each task."""
        return self.kind in ("trained", "fine-tuned")

    @property
    def checkpoint(self) -> str | None:
        """Name of the checkpoint that the command line must provide; `None` if the row needs none."""
        return self.model if self.kind in ("zero-shot", "fine-tuned") else None


_GRAPH_PES: Final = ("graph-pes", "torch")
_PYG: Final = ("torch-geometric", "torch")
_ANI: Final = ("torchani", "torch")
_FAIRCHEM1: Final = ("fairchem-core", "torch")
_SO3LR: Final = ("so3krates-torch", "torch")


def _control(name: str, title: str, *packages: str) -> Row:
    return Row(name=name, title=title, kind="control", model=name, packages=packages)


def _network(name: str, title: str, options: str, packages: tuple[str, ...] = _GRAPH_PES) -> Row:
    train = tuple(options.split())
    architecture = parse_architecture(train[train.index("--arch") + 1]).architecture
    return Row(
        name=name,
        title=title,
        kind="trained",
        train=train,
        seeded=True,
        budgeted=True,
        compiles=architecture in COMPILABLE,
        packages=packages,
        environment=IN_ENVIRONMENTS.get(architecture),
    )


def _variant(name: str, title: str, options: str, budget_factor: float = 1.0) -> Row:
    return replace(_network(name, title, options), group="ablation", budget_factor=budget_factor)


_MAIN: Final = (
    _control("gfn2-xtb", "GFN2-xTB", "tblite"),
    _control("gfn1-xtb", "GFN1-xTB", "tblite"),
    _control("mmff94", "MMFF94", "rdkit"),
    _control("zero", "no force and no energy"),
    Row(
        name="knn",
        title="nearest atomic environments of training",
        kind="trained",
        train=("--arch", "knn"),
        packages=("torchani",),
    ),
    Row(
        name="additive",
        title="sum of bonds, angles and torsions",
        kind="trained",
        train=("--arch", "additive"),
        packages=("rdkit",),
    ),
    _network("schnet", "SchNet", "--arch schnet"),
    _network("painn", "PaiNN", "--arch painn"),
    _network("dimenet++", "DimeNet++", "--arch dimenet++", _PYG),
    _network("nequip", "NequIP", "--arch nequip"),
    _network("mace", "MACE", "--arch mace"),
    _network("visnet", "ViSNet", "--arch visnet", _PYG),
    _network("gemnet", "GemNet-T", "--arch gemnet", _FAIRCHEM1),
    _network("esen", "eSEN", "--arch esen", _FAIRCHEM1),
    Row("ani2x", "ANI-2x as published", kind="zero-shot", model="ani2x", packages=_ANI),
    Row(
        name="ani2x-tuned",
        title="ANI-2x, fine-tuned",
        kind="fine-tuned",
        model="ani2x",
        seeded=True,
        budgeted=True,
        packages=_ANI,
    ),
    Row("so3lr", "SO3LR as published", kind="zero-shot", packages=_SO3LR, environment="so3lr"),
    Row(
        name="so3lr-tuned",
        title="SO3LR, fine-tuned",
        kind="fine-tuned",
        train=("--init", "so3lr"),
        seeded=True,
        budgeted=True,
        packages=_SO3LR,
        environment="so3lr",
    ),
)

_ABLATIONS: Final = (
    _variant("painn-short", "PaiNN, a tenth of the budget", "--arch painn", budget_factor=0.1),
    _variant("painn-long", "PaiNN, four times the budget", "--arch painn", budget_factor=4.0),
    _variant("painn-narrow", "PaiNN, 16 channels", "--arch painn --channels 16"),
    _variant("painn-wide", "PaiNN, 128 channels", "--arch painn --channels 128"),
    _variant("painn-local", "PaiNN, receptive field 3 Å", "--arch painn-local"),
    _variant("painn-5A", "PaiNN of one layer, receptive field 5 Å", "--arch painn --layers 1"),
    _variant("painn-25A", "PaiNN of five layers, receptive field 25 Å", "--arch painn --layers 5"),
    _variant("painn-delta", "PaiNN on top of GFN1-xTB", "--arch painn --delta gfn1-xtb"),
)
"""Possible causes of a gap: length of training, size of the network, receptive field, learning target."""

ROWS: Final[Mapping[str, Row]] = MappingProxyType({row.name: row for row in (*_MAIN, *_ABLATIONS)})
"""Every declared row by name, in the order of tables: controls, trained, zero-shot and fine-tuned, then ablations."""


NOT_OFFERED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "EquiformerV2": "that of fairchem-core 1.10.0 (with torch 2.13.0, numpy 2.4.6) has no forces that are the "
        "derivative of its energy, since it detaches the rotations of its edges, and its energy jumps where pairs of "
        "atoms enter the cutoff (`python -m tests.benchmarks.equiformer_v2`)",
    }
)
"""Networks that readers look for and `harness train` does not offer, each with the reason."""


def choose_rows(names: Sequence[str], declared: Iterable[Row] = tuple(ROWS.values())) -> tuple[Row, ...]:
    """The requested rows, in the order of declaration.

    Args:
        names: Names of rows; `main`, or a kind, for rows of that kind in the main table; `ablation`; `all`. Empty for
            `main`.
        declared: Rows to choose from.

    Raises:
        UsageError: If a row does not exist.
    """
    rows = tuple(declared)
    known = {name for row in rows for name in _names_of(row)} | {MAIN}
    for name in names:
        if name not in known:
            others = f"{', '.join(get_args(RowKind))}, {', '.join(get_args(GroupName))}, {ALL}"
            raise UsageError(f"unknown row {name!r}; known rows: {' '.join(row.name for row in rows)}; or {others}")
    wanted = set(names) or {MAIN}
    return tuple(row for row in rows if not wanted.isdisjoint(_names_of(row)))


def _names_of(row: Row) -> tuple[str, ...]:
    return (ALL, row.name, row.group, *((row.kind,) if row.group == MAIN else ()))


def row_order() -> dict[str, int]:
    """The place of each declared row in tables."""
    return {name: place for place, name in enumerate(ROWS)}
