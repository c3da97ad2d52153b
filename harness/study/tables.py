"""The tables of a report in Markdown, each a function of its lines only."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import fmean
from typing import Final

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.markdown import markdown_table
from dataset_builders.core.units import MILLI
from harness.study.run_record import Number, ReferenceName, RunRecord, TestSplitName
from harness.study.seed_ranking import ModelRanking
from harness.study.summary import Line, Spread, ratio_of_rows
from harness.study.table_rows import ROWS

UNDEFINED: Final = "–"
_TEST_SPLITS: Final[tuple[TestSplitName, ...]] = ("test_id", "test_ood")
_REFERENCES: Final[tuple[ReferenceName, ...]] = ("none", "mean", "elements")


def main_table(lines: Sequence[Line]) -> str:
    """Errors, gap and score of each row on one task."""
    header = (
        "row",
        "seeds",
        "fragments",
        "ID force MAE, meV/Å",
        "OOD force MAE, meV/Å",
        "gap, OOD / ID",
        "composition-matched gap",
        "excess",
        "score",
        "relative energy MAE ID / OOD, meV",
    )
    return _table(header, (_main_row(line) for line in lines))


def fragment_table(lines: Sequence[Line]) -> str:
    """Gap of each test fragment, for each row."""
    fragments = sorted({name for line in lines for name in line.by_fragment})
    cells = ((line.row, *(_plain(line.by_fragment.get(name)) for name in fragments)) for line in lines)
    return _table(("row", *fragments), cells)


def neighbour_table(lines: Sequence[Line]) -> str:
    """Rows by OOD error, each compared with the row above.

    Args:
        lines: Lines of one task.
    """
    ordered = sorted(lines, key=lambda line: line.effects["test_ood"].value)
    rows = [(ordered[0].row, force_text(ordered[0].force_mae["test_ood"]), UNDEFINED)]
    rows += [
        (
            line.row,
            force_text(line.force_mae["test_ood"]),
            number_text(replace(ratio_of_rows(line, above), deviation=None), 1.0, 2),
        )
        for above, line in pairwise(ordered)
    ]
    return _table(("row", "OOD force MAE, meV/Å", "ratio to the row above"), rows)


def subset_table(lines: Sequence[Line]) -> str:
    """OOD errors for near and far fragment pairs: within and beyond each other's environment."""
    header = ("row", "near force MAE, meV/Å", "far force MAE, meV/Å", "near / ID", "far / ID")
    rows = []
    for line in lines:
        near, far, known = (line.force_mae[part].value for part in ("near", "far", "test_id"))
        to_id = [UNDEFINED if not known or each is None else f"{each / known:.2f}" for each in (near, far)]
        forces = [force_text(line.force_mae["near"]), force_text(line.force_mae["far"])]
        rows.append((line.row, *forces, *to_id))
    return _table(header, rows)


def spacer_table(lines: Sequence[Line]) -> str:
    """Force MAE of each row at each spacer length."""
    columns = sorted({key for line in lines for key in line.by_spacer}, key=lambda key: (key[1], key[0]))
    header = ("row", *(f"{_split_text(split)} {spacer}" for split, spacer in columns))
    return _table(header, ((line.row, *(_short_force(line.by_spacer.get(key)) for key in columns)) for line in lines))


def ranking_table(rankings: Mapping[str, ModelRanking]) -> str:
    """Rank of each model for each seed.

    Args:
        rankings: Rankings by quantity, all of the same models; the first one determines the order of rows.
    """
    first, *_ = rankings.values()
    places = [dict(zip(ranking.rows, ranking.places.T.tolist(), strict=True)) for ranking in rankings.values()]
    cells = [(row, *(", ".join(map(str, place[row])) for place in places)) for row in first.rows]
    return _table(("row", *rankings), cells)


def distance_table(lines: Sequence[Line]) -> str:
    """Rank correlation of the error of an atom with its distance to the training set."""
    header = ("row", "within elements: ID", "OOD", "ID and OOD", "all atoms: ID and OOD")

    def row(line: Line) -> tuple[str, ...]:
        numbers: list[Callable[[RunRecord], Number]] = [
            lambda record: record.distances.within_elements["test_id"],
            lambda record: record.distances.within_elements["test_ood"],
            lambda record: record.distances.within_elements["both"],
            lambda record: record.distances.rank_correlation["both"],
        ]
        return (line.row, *(number_text(line.over_seeds(number), 1.0, 2) for number in numbers))

    return _table(header, map(row, lines))


def energy_table(lines: Sequence[Line]) -> str:
    """Energy errors of a molecule under each alignment of the energy zeros."""
    names = [f"{_split_text(split)} {name}" for split in _TEST_SPLITS for name in (*_REFERENCES, "relative")]
    header = ("row", *names, "bookkeeping in OOD mean", "per atom ID / OOD, meV", "per atom OOD / ID")
    return _table(header, map(_energy_row, lines))


def training_table(lines: Sequence[Line]) -> str:
    """Cost and outcome of the training of each row, means over seeds."""
    header = (
        "row",
        "task",
        "numbers stored",
        "steps",
        "passes over train",
        "minutes",
        "validation force MAE, meV/Å",
        "commands of the study, s",
    )
    return _table(header, map(_training_row, lines))


def model_table(records: Iterable[RunRecord]) -> str:
    """Hashes of each run: the files of the model, and the code."""
    header = ("row", "task", "seed", "protocol", "level of theory", "files, sha256", "device", "date")
    return _table(header, map(_model_row, records))


def force_text(spread: Spread) -> str:
    """A force error in meV/Å: mean over seeds ± deviation [interval]."""
    return number_text(spread, MILLI, 1)


def number_text(spread: Spread, unit: float, digits: int) -> str:
    """A number in multiples of `unit`: mean over seeds ± deviation [interval], where available."""
    if spread.value is None:
        return UNDEFINED
    text = f"{spread.value / unit:.{digits}f}"
    if spread.deviation is not None:
        text += f" ± {spread.deviation / unit:.{digits}f}"
    if spread.low is not None and spread.high is not None:
        text += f" [{spread.low / unit:.{digits}f}, {spread.high / unit:.{digits}f}]"
    return text


def _main_row(line: Line) -> tuple[str, ...]:
    energies = [_relative(line, split) for split in _TEST_SPLITS]
    score = line.over_seeds(lambda record: record.score)
    return (
        line.row,
        ", ".join(map(str, line.seeds)) or UNDEFINED,
        _n_drawn(line),
        force_text(line.force_mae["test_id"]),
        force_text(line.force_mae["test_ood"]),
        number_text(line.gap, 1.0, 2),
        _value(line.expected_gap, 1.0, 2),
        number_text(line.excess, 1.0, 2),
        _value(score, 1.0, 1),
        " / ".join(_value(energy, MILLI, 1) for energy in energies),
    )


def _n_drawn(line: Line) -> str:
    """Number of fragments or molecules behind the OOD error."""
    count = line.force_mae["test_ood"].n_clusters
    if count is None:
        return UNDEFINED
    return str(count) if line.records[0].clusters == "fragment" else f"{count} molecules"


def _plain(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.2f}"


def _energy_row(line: Line) -> tuple[str, ...]:
    cells = [
        _three_digits(value)
        for split in _TEST_SPLITS
        for value in (*(_total(line, split, name) for name in _REFERENCES), _relative(line, split).value)
    ]
    mean, proper = _total(line, "test_ood", "mean"), _total(line, "test_ood", "elements")
    share = UNDEFINED if not mean or proper is None else f"{100.0 * (1.0 - proper / mean):.1f} %"
    known, unseen = (_per_atom(line, split) for split in _TEST_SPLITS)
    gap = UNDEFINED if not known.value or unseen.value is None else f"{unseen.value / known.value:.1f}"
    return (line.row, *cells, share, f"{_value(known, MILLI, 2)} / {_value(unseen, MILLI, 2)}", gap)


def _per_atom(line: Line, split: TestSplitName) -> Spread:
    """Energy error per atom after a fit of one energy per element on training frames."""
    return line.over_seeds(lambda record: record.energies[split]["elements"].per_atom)


def _relative(line: Line, split: TestSplitName) -> Spread:
    return line.over_seeds(lambda record: record.relative_energy_mae[split])


def _total(line: Line, split: TestSplitName, reference: ReferenceName) -> float | None:
    return line.over_seeds(lambda record: record.energies[split][reference].total).value


def _training_row(line: Line) -> tuple[str, ...]:
    trainings = [record.training for record in line.records]

    def mean(name: str, unit: float, digits: int) -> str:
        values = [training[name] for training in trainings if isinstance(training.get(name), int | float)]
        return f"{fmean(values) / unit:,.{digits}f}" if values else UNDEFINED

    errors = [best["validation_force_mae"] for training in trainings if (best := training.get("best_validation"))]
    parameters = {number for record in line.records if (number := record.model.n_parameters) is not None}
    return (
        line.row,
        line.task,
        ", ".join(f"{number:,}" for number in sorted(parameters)) or UNDEFINED,
        mean("steps", 1.0, 0),
        mean("epochs_done", 1.0, 1),
        mean("wall_time_s", 60.0, 1),
        f"{fmean(errors) / MILLI:.1f}" if errors else UNDEFINED,
        f"{fmean(sum(record.seconds.values()) for record in line.records):,.0f}",
    )


def _model_row(record: RunRecord) -> tuple[str, ...]:
    model = record.model
    files = ", ".join(f"{name} {sha256[:SHORT_HASH]}" for name, sha256 in sorted(model.files.items()))
    return (
        record.row,
        record.task,
        UNDEFINED if record.seed is None else str(record.seed),
        model.protocol,
        model.level_of_theory or "unknown",
        files or "none: a method without a checkpoint",
        f"{model.dtype} on {model.device}",
        record.created.date().isoformat(),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return markdown_table(header, rows, "right")


def _split_text(split: TestSplitName) -> str:
    return "ID" if split == "test_id" else "OOD"


def _short_force(spread: Spread | None) -> str:
    return "" if spread is None else _value(spread, MILLI, 1)


def _value(spread: Spread, unit: float, digits: int) -> str:
    return UNDEFINED if spread.value is None else f"{spread.value / unit:.{digits}f}"


def _three_digits(value: float | None) -> str:
    if value is None:
        return UNDEFINED
    return f"{value:.3g}" if value < 1000.0 else f"{value:,.0f}"


def title_of(row: str) -> str:
    """The title of a row; its name if it is no longer declared."""
    return ROWS[row].title if row in ROWS else row
