"""The anatomy of gaps in a report of the study: a table for each task, and the bars of the figure."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Final

from dataset_builders.core.markdown import markdown_table
from dataset_builders.tasks.regions import in_order
from harness.report.anatomy_figure import GapFactors, draw_anatomy
from harness.results.anatomy_record import ContactName
from harness.study.figure_groups import label_of, measurable, models, numbered, references, variants
from harness.study.run_record import Number
from harness.study.summary import Line, Spread, over_seeds
from harness.study.tables import UNDEFINED, force_text, number_text

ANATOMY_FIGURE: Final = "anatomy.png"

ANATOMY: Final = """\
The gap as a product: *composition* (which atoms the OOD molecules have), *conformers* (rotamers that training does not
show), *unseen parts* (torsion types and pairs of heavy elements that training does not show) and *combination* (what
remains for molecules whose parts all occur in training); where every OOD molecule has an unseen part, the last two are
one factor. Geometric means over seeds, which multiply to that of the gap; of several seeds the ends of the intervals
are averaged likewise. The last columns have the OOD error of frames with the two ends within 5 Å, and of the others.
Rows without training on these molecules show how far the molecules differ in themselves. Definitions and limits:
docs/anatomy.md."""

NO_ANATOMY: Final = """\
None of these records holds the factors of a gap (composition, conformers, unseen parts, combination), because it has no
gap or is older than their measurement, so there is no figure of them. They need the predictions of a run:
`python -m harness study` measures them when a row runs again. Factors of other models: docs/anatomy.md."""

_FACTORS: Final = ("composition", "conformers", "unseen_parts", "combination", "remaining")
_HEADER: Final = (
    "row",
    "gap",
    "composition",
    "conformers",
    "unseen parts",
    "combination",
    "unseen parts x combination",
)
_CONTACT_NAMES: Final[tuple[ContactName, ...]] = ("contact", "apart")
_CONTACTS: Final = ("OOD, ends within 5 Å, meV/Å", "OOD, apart, meV/Å")


def anatomy_blocks(lines: Sequence[Line], figure: str) -> list[str]:
    """The section of a report; it says so if no record holds factors.

    Args:
        lines: Lines of all tasks.
        figure: Markdown of the figure; empty without one.
    """
    known = [line for line in lines if _factors(line)]
    if not known:
        return ["## Anatomy of a gap", NO_ANATOMY]
    blocks = ["## Anatomy of a gap", ANATOMY]
    for task in in_order(line.task for line in known):
        of_task = [line for line in known if line.task == task]
        blocks += [f"### {task}: {of_task[0].title}", _table(of_task)]
    missing = sorted({f"`{line.row}` on {line.task}" for line in lines if not _factors(line)})
    if missing:
        blocks.append(f"No anatomy, because no gap or because the record is older: {', '.join(missing)}.")
    return [*blocks, figure] if figure else blocks


def draw_anatomies(lines: Sequence[Line], directory: Path) -> tuple[str, ...]:
    """Draws the factors into a folder: models, then references, then variants, a figure for at most eight rows.

    Returns:
        Names of the files; none if no record holds factors.
    """
    bars = anatomy_bars(lines)
    shown = measurable(lines)
    groups = [*models(shown), *references(shown), *variants(shown)]
    chosen = [[bar for row in rows for bar in bars if bar.model == row] for rows in groups]
    names = []
    for number, of_group in enumerate(filter(None, chosen), start=1):
        names.append(numbered(ANATOMY_FIGURE, number))
        draw_anatomy([replace(bar, model=label_of(bar.model)) for bar in of_group], directory / names[-1])
    return tuple(names)


def anatomy_bars(lines: Sequence[Line]) -> list[GapFactors]:
    """The bars of the figures, one for each line with factors."""
    bars = []
    for line in lines:
        factors = {name: value for name, spread in _factors(line).items() if (value := spread.value) is not None}
        if factors:
            low, high = line.gap.low, line.gap.high
            ends = None if low is None or high is None else (low, high)
            bars.append(GapFactors(line.task, line.title, line.row, factors, ends))
    return bars


def _factors(line: Line) -> dict[str, Spread]:
    """The factors that all seeds have; none if seeds differ in which they have."""
    names = [set(record.factors) for record in line.records]
    if any(each != names[0] for each in names):
        return {}
    return {
        name: _geometric_mean([record.factors[name] for record in line.records])
        for name in _FACTORS
        if name in names[0]
    }


def _geometric_mean(numbers: Sequence[Number]) -> Spread:
    value, low, high = (
        None if None in each else math.exp(fmean(math.log(one) for one in each if one is not None))
        for each in ([n.value for n in numbers], [n.low for n in numbers], [n.high for n in numbers])
    )
    return Spread(value, low, high)


def _table(lines: Sequence[Line]) -> str:
    has_contacts = any(record.contact_force_mae for line in lines for record in line.records)
    header = (*_HEADER, *(_CONTACTS if has_contacts else ()))
    return markdown_table(header, (_row(line, has_contacts=has_contacts) for line in lines), "right")


def _row(line: Line, *, has_contacts: bool) -> tuple[str, ...]:
    factors = _factors(line)
    gap = math.prod(spread.value or 1.0 for spread in factors.values())
    cells = [number_text(factors[name], 1.0, 2) if name in factors else UNDEFINED for name in _FACTORS]
    contacts = [_contact_text(line, name) for name in _CONTACT_NAMES]
    return (line.row, f"{gap:.2f}", *cells, *(contacts if has_contacts else ()))


def _contact_text(line: Line, name: ContactName) -> str:
    numbers = [record.contact_force_mae[name] for record in line.records if name in record.contact_force_mae]
    return force_text(over_seeds(numbers)) if len(numbers) == len(line.records) else UNDEFINED
