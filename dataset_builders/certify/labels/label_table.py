"""Label checks in the report of `certify` and on cards: a table, and notes on missing tests."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dataset_builders.certify.labels.evidence import LabelEvidence
from dataset_builders.certify.labels.label_checks import LabelCheck, check_labels, label_problems
from dataset_builders.certify.labels.level_check import LevelCheck, check_level, level_problems
from dataset_builders.certify.row_checks import Problem
from dataset_builders.chemistry.levels import Level


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Label checks of a configuration.

    Attributes:
        config: Name of the configuration.
        labels: Energies and forces compared with each other and with MMFF94.
        level: Total energies compared with those of isolated atoms and bonds.
    """

    config: str
    labels: LabelCheck
    level: LevelCheck


def examine_labels(
    config: str, level: Level, evidence: LabelEvidence, temperature: float
) -> tuple[LabelReport, list[Problem]]:
    """Tests the labels of a configuration without the program that computed them.

    Args:
        config: Name of the configuration.
        level: Declared level of theory.
        evidence: Evidence from all its rows.
        temperature: Sampling temperature of the frames, K.
    """
    report = LabelReport(config, check_labels(config, evidence, temperature), check_level(level, evidence, temperature))
    problems = [
        *level_problems(config, level, report.level),
        *label_problems(report.labels, evidence, report.level.energy_factor),
    ]
    return report, problems


LABEL_HEADER: Final = (
    "config",
    "pairs of frames",
    "energy on work",
    "deviation",
    "forces on MMFF94",
    "correlation",
    "energy on bonds",
)
_NOT_TESTED: Final = "-"


def label_rows(reports: Sequence[LabelReport]) -> list[tuple[str, ...]]:
    """The reports as table rows under `LABEL_HEADER`."""
    return [(each.config, *_work_cells(each.labels), *_field_cells(each.labels), _bond_cell(each)) for each in reports]


def label_notes(reports: Sequence[LabelReport]) -> list[str]:
    """Tests that could not be done, with reasons."""
    return [note for each in reports for note in _notes(each)]


def _work_cells(check: LabelCheck) -> tuple[str, str, str]:
    work = check.work
    if check.work_untested or math.isnan(work.slope):
        return f"{work.n_pairs:,}", _NOT_TESTED, _NOT_TESTED
    return f"{work.n_pairs:,}", f"{work.slope:.3f} ± {work.error:.3f}", f"{work.scatter:.2f}"


def _field_cells(check: LabelCheck) -> tuple[str, str]:
    if check.field_untested:
        return _NOT_TESTED, _NOT_TESTED
    return f"{check.field.force_slope:.2f}", f"{check.field.force_correlation:.2f}"


def _bond_cell(report: LabelReport) -> str:
    return _NOT_TESTED if report.level.ratio is None else f"{report.level.ratio:.3f}"


def _notes(report: LabelReport) -> Iterator[str]:
    labels, level = report.labels, report.level
    if labels.work_untested:
        yield (
            f"{report.config}, energies against the work of the forces: not tested: {labels.work_untested}; "
            "`certify --recompute N` recomputes labels"
        )
    if labels.field_untested:
        yield f"{report.config}, labels against MMFF94: not tested: {labels.field_untested}"
    if level.untested:
        likeness = f"; {level.resembles}" if level.resembles else ""
        yield f"{report.config}, level and unit of the energies: not tested: {level.untested}{likeness}"
