"""The rows of the table: every model of the study, as a declaration."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, get_args

from dataset_builders.errors import UsageError

RowKind = Literal["control", "zero-shot", "trained", "fine-tuned"]
GroupName = Literal["main", "ablation"]

MAIN: Final = "main"
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Row:
    """A model of the study.

    Attributes:
        name: What it is called in records, tables and figures.
        title: What it is, for people.
        kind: `control` has no training set; `zero-shot` is a checkpoint as it came; `trained` and `fine-tuned` are
            trained on each task, the latter from a checkpoint.
        group: `main`, or `ablation` for a variant that answers one question and is run where asked for.
        model: What `--model` evaluates: a built-in name of a control, or the name under which the command line of
            the study gives a checkpoint to a zero-shot or fine-tuned row.
        train: Options of `harness train` that make the row; empty for one that is not trained.
        seeded: Whether runs with different seeds differ.
        budgeted: Whether the budget of the study is passed on to its training.
        budget_factor: Multiple of the budget that it trains for.
        packages: Packages whose versions may change its numbers.
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
    packages: tuple[str, ...] = ()

    @property
    def is_trained(self) -> bool:
        """Whether it has to be trained on each task."""
        return self.kind in ("trained", "fine-tuned")

    @property
    def checkpoint(self) -> str | None:
        """Name of the checkpoint that the command line has to give; `None` where the row needs none."""
        return self.model if self.kind in ("zero-shot", "fine-tuned") else None


def _network(name: str, title: str, *options: str, group: GroupName = "main", budget_factor: float = 1.0) -> Row:
    return Row(
        name=name,
        title=title,
        kind="trained",
        group=group,
        train=options,
        seeded=True,
        budgeted=True,
        budget_factor=budget_factor,
        packages=("graph-pes", "torch"),
    )


def _control(name: str, title: str, *packages: str) -> Row:
    return Row(name=name, title=title, kind="control", model=name, packages=packages)


_MAIN: Final = (
    _control("gfn2-xtb", "GFN2-xTB, the method of the labels", "tblite"),
    _control("gfn1-xtb", "GFN1-xTB", "tblite"),
    _control("mmff94", "MMFF94", "rdkit"),
    _control("zero", "no force and no energy"),
    _network("schnet", "SchNet", "--arch", "SchNet"),
    _network("painn", "PaiNN", "--arch", "PaiNN"),
    _network("nequip", "NequIP", "--arch", "NequIP"),
    _network("mace", "MACE", "--arch", "MACE"),
    Row("ani2x", "ANI-2x as published", kind="zero-shot", model="ani2x", packages=("torchani", "torch")),
)

_ABLATIONS: Final = (
    _network("painn-short", "PaiNN, a tenth of the budget", "--arch", "PaiNN", group="ablation", budget_factor=0.1),
    _network("painn-long", "PaiNN, four times the budget", "--arch", "PaiNN", group="ablation", budget_factor=4.0),
    _network("painn-narrow", "PaiNN, 16 channels", "--arch", "PaiNN", "--channels", "16", group="ablation"),
    _network("painn-wide", "PaiNN, 128 channels", "--arch", "PaiNN", "--channels", "128", group="ablation"),
    _network("painn-1-layer", "PaiNN, 1 layer: sees 5 Å", "--arch", "PaiNN", "--layers", "1", group="ablation"),
    _network("painn-5-layers", "PaiNN, 5 layers: sees 25 Å", "--arch", "PaiNN", "--layers", "5", group="ablation"),
    _network("painn-3A", "PaiNN, cutoff 3 Å: sees 9 Å", "--arch", "PaiNN", "--cutoff", "3", group="ablation"),
)

ROWS: Final[Mapping[str, Row]] = MappingProxyType({row.name: row for row in (*_MAIN, *_ABLATIONS)})
"""Every declared row by name, in the order of tables: controls, trained, zero-shot and fine-tuned, then ablations."""


def choose_rows(names: Sequence[str], declared: Iterable[Row] = tuple(ROWS.values())) -> tuple[Row, ...]:
    """The rows that a request names, in their own order.

    Args:
        names: Names of rows; `main`, or a kind, for rows of that kind in the main table; `ablation`; `all`. Empty for
            `main`.
        declared: Rows to choose from.

    Raises:
        UsageError: If there is no such row.
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
