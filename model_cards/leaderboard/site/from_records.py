"""Entries from the records of the study (`runs.jsonl`): one for each row, a mean over its seeds."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Final

import numpy as np

from dataset_builders.chemistry.levels import LEVELS_BY_SUFFIX
from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import SHORT_HASH, document_sha256
from dataset_builders.folder.content_hash import config_hashes
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.tasks.regions import TASKS, TaskName, in_order
from harness.data.dataset import MINI, open_dataset
from harness.results.result import PartName
from harness.scoring.clusters import Clusters
from harness.scoring.influences import MoleculeSums
from harness.scoring.intervals import Interval, ratio_interval
from harness.scoring.score_interval import mean_score_interval
from harness.study.run_record import Number as Recorded
from harness.study.run_record import RunRecord, TestSplitName, read_records
from harness.study.summary import Line, Spread, over_seeds, summarise
from harness.study.table_rows import ROWS
from model_cards.leaderboard.site.site_entry import (
    NO_INTERVAL_OF_MEAN,
    DataOf,
    Entry,
    Gathered,
    LeftOut,
    Number,
    NumberName,
    Origin,
    Speed,
    TaskNumbers,
    data_of,
    one_line,
)

_ZERO: Final = "zero"
_NO_SCALE: Final = "no interval: the records hold no zero forces on the same molecules"
_NOT_COMPUTED: Final = "no interval: the records do not hold what it needs"
_OTHER_DATA: Final = "measured on data of content {own}, and the other rows of {task} on {common}"
_MEAN_OF_FACTORS: Final = "no interval: a mean over seeds, and the records hold the factors of each seed alone"
_MEANS: Final = "mean over seeds; the gap is the mean over seeds of the ratio of each seed"
_UNTIMED: Final = "not recorded: the records time whole commands, not structures"
_TRAINED: Final = "proved: the study trained it with harness train, whose checkpoint records its training set"


def entries_of_records(path: Path, place: str) -> Gathered:
    """The rows of a file of records.

    Args:
        path: The file `runs.jsonl`.
        place: Its name on the page.

    Raises:
        DataError: If a line is not a record, or a row has records of different molecules.
    """
    records = read_records(path.parent)
    if not records:
        raise DataError(f"{path} holds no record; expected lines that `python -m harness study` wrote")
    kept, left_out = _on_common_data(records, place)
    groups: dict[tuple[str, str], list[RunRecord]] = {}
    for record in kept:
        groups.setdefault((record.dataset.edition, record.dataset.level_of_theory), []).append(record)
    entries = [entry for group in groups.values() for entry in _entries(group, place)]
    return Gathered(tuple(entries), left_out)


def _on_common_data(records: Sequence[RunRecord], place: str) -> tuple[list[RunRecord], tuple[LeftOut, ...]]:
    """The records on the data that most records of a task are on, and those on others."""
    contents: dict[tuple[str, str, TaskName], Counter[str]] = {}
    for record in records:
        contents.setdefault(_measured(record), Counter())[record.dataset.content_hash] += 1
    common = {key: min(counts, key=lambda each: (-counts[each], each)) for key, counts in contents.items()}
    kept = [record for record in records if record.dataset.content_hash == common[_measured(record)]]
    others = (record for record in records if record.dataset.content_hash != common[_measured(record)])
    return kept, tuple(
        LeftOut(
            f"{place}, {record.row}, {record.task}" + ("" if record.seed is None else f", seed {record.seed}"),
            _OTHER_DATA.format(
                own=record.dataset.content_hash[:SHORT_HASH],
                task=record.task,
                common=common[_measured(record)][:SHORT_HASH],
            ),
        )
        for record in others
    )


def _measured(record: RunRecord) -> tuple[str, str, TaskName]:
    return record.dataset.edition, record.dataset.level_of_theory, record.task


def _entries(records: Sequence[RunRecord], place: str) -> list[Entry]:
    lines = summarise(records)
    data = _data(records)
    zero = {line.task: line for line in lines if line.row == _ZERO}
    by_row: dict[str, dict[TaskName, Line]] = {}
    for line in lines:
        by_row.setdefault(line.row, {})[line.task] = line
    return [_entry(row, by_task, zero, data, place) for row, by_task in by_row.items()]


def _data(records: Sequence[RunRecord]) -> DataOf:
    """The data of the records; a record knows the content of its task, from which that of a known edition follows."""
    first = records[0].dataset
    contents = {record.dataset.config(record.task): record.dataset.content_hash for record in records}
    level = LEVELS_BY_SUFFIX[first.suffix]
    if contents.items() <= config_hashes(MINI_DIRECTORY).items():
        return data_of(first.edition, first.level_of_theory, open_dataset(MINI, level).content_hash)
    return data_of(first.edition, first.level_of_theory, document_sha256(contents))


def _entry(
    row: str, by_task: Mapping[TaskName, Line], zero: Mapping[TaskName, Line], data: DataOf, place: str
) -> Entry:
    lines = [by_task[name] for name in in_order(by_task)]
    records = [record for line in lines for record in line.records]
    model = records[0].model
    is_control = model.protocol == "control"
    is_trained = model.protocol in ("from-scratch", "fine-tuned")
    return Entry(
        name=one_line(row),
        kind="control" if is_control else "model",
        data=data,
        protocol=model.protocol,
        evidence="proved" if is_trained and all(record.training for record in records) else "",
        proof=_proof(model.protocol),
        family=model.family,
        level_of_theory=model.level_of_theory or "",
        dtype=model.dtype,
        tasks={line.task: _task(line, zero.get(line.task)) for line in lines},
        origin=Origin("study", f"records of the study, {place}"),
        overall=_overall(lines),
        speed=Speed(text=_UNTIMED),
        facts=_facts(row, records),
        commands=tuple(dict.fromkeys(command for record in records for command in record.commands)),
        cautions=_cautions(records, data),
    )


def _proof(protocol: str) -> str:
    if protocol == "control":
        return "a method without a training set"
    if protocol == "zero-shot":
        return "a published checkpoint, used as it is; the study did not train it"
    return _TRAINED


def _task(line: Line, zero: Line | None) -> TaskNumbers:
    numbers: dict[NumberName, Number] = {
        "score": _score(line, zero),
        "id_force_mae": _force(line, "test_id"),
        "ood_force_mae": _force(line, "test_ood"),
        "gap": _number(line, line.gap, lambda record: record.gap),
        "id_energy_mae": _energy(line, "test_id"),
        "ood_energy_mae": _energy(line, "test_ood"),
        "expected_gap": Number(line.expected_gap.value, deviation=line.expected_gap.deviation, reason=_NOT_COMPUTED),
    }
    if "near" in line.force_mae:
        numbers["near_force_mae"] = _force(line, "near")
    if "far" in line.force_mae:
        numbers["far_force_mae"] = _force(line, "far")
    return TaskNumbers(
        numbers,
        len(line.seeds),
        ", ".join(map(str, line.seeds)),
        _anatomy(line),
        title=None if line.task in TASKS else line.title,
    )


def _force(line: Line, part: PartName) -> Number:
    return _number(line, line.force_mae[part], lambda record: record.force_mae[part])


def _number(line: Line, spread: Spread, recorded: Callable[[RunRecord], Recorded]) -> Number:
    reason = None if spread.low is not None else _first_reason(recorded(record).reason for record in line.records)
    return Number(spread.value, spread.low, spread.high, spread.deviation, reason)


def _score(line: Line, zero: Line | None) -> Number:
    """The mean score of the seeds, with the interval of that mean."""
    values = [record.score.value for record in line.records]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Number(None, reason=_first_reason(record.score.reason for record in line.records))
    deviation = stdev(known) if len(known) > 1 else None
    if zero is None or _molecules(zero) != _molecules(line):
        return Number(fmean(known), deviation=deviation, reason=_NO_SCALE)
    errors = [summarise([record])[0].effects["test_ood"] for record in line.records]
    found = mean_score_interval(errors, zero.effects["test_ood"])
    return Number(fmean(known), found.low, found.high, deviation, found.reason)


def _molecules(line: Line) -> list[tuple[str, int]]:
    return [(molecule.molecule_id, molecule.n_atoms) for molecule in line.records[0].molecules["test_ood"]]


def _first_reason(reasons: Iterable[str | None]) -> str:
    return next((reason for reason in reasons if reason), _NOT_COMPUTED)


def _energy(line: Line, split: TestSplitName) -> Number:
    """The MAE of relative energies: errors of a molecule are averaged over the seeds, which share the frames."""
    spread = line.over_seeds(lambda record: record.relative_energy_mae[split])
    columns = [record.molecules[split] for record in line.records]
    errors = [[molecule.relative_energy_mae for molecule in column] for column in columns]
    first = columns[0]
    has_energy = [all(row[place] is not None for row in errors) for place in range(len(first))]
    weights = np.array([m.n_frames if known else 0 for m, known in zip(first, has_energy, strict=True)], np.float64)
    means = np.array([[error or 0.0 for error in row] for row in errors], np.float64).mean(axis=0)
    clusters = Clusters(split, line.records[0].clusters, tuple(molecule.drawn for molecule in first))
    sums = MoleculeSums(means * weights, weights, "no molecule has two or more frames")
    found: Interval = ratio_interval(sums, clusters)
    return Number(spread.value, found.low, found.high, spread.deviation, found.reason)


def _anatomy(line: Line) -> dict[str, Number]:
    """The factors of the gap: of one record as they are, of several their means; none in older records."""
    found = [record.factors for record in line.records]
    names = [name for name in found[0] if all(name in factors for factors in found)]
    if len(found) == 1:
        return {name: Number(n.value, n.low, n.high, None, n.reason) for name, n in found[0].items()}
    spreads = {name: over_seeds([factors[name] for factors in found]) for name in names}
    return {
        name: Number(spread.value, deviation=spread.deviation, reason=_MEAN_OF_FACTORS)
        for name, spread in spreads.items()
    }


def _overall(lines: Sequence[Line]) -> Number | None:
    by_task = {line.task: line for line in lines if line.task in TASKS}
    if by_task.keys() != TASKS.keys():
        return None
    scores = [[record.score.value for record in by_task[name].records] for name in TASKS]
    if any(value is None for of_task in scores for value in of_task):
        return None
    means = [fmean(value for value in of_task if value is not None) for of_task in scores]
    seeds = {line.seeds for line in by_task.values()}
    deviation = None
    if len(seeds) == 1 and len(scores[0]) > 1:
        of_seeds = zip(*scores, strict=True)
        deviation = stdev([fmean(value for value in of_seed if value is not None) for of_seed in of_seeds])
    return Number(fmean(means), deviation=deviation, reason=NO_INTERVAL_OF_MEAN)


def _facts(row: str, records: Sequence[RunRecord]) -> tuple[tuple[str, str], ...]:
    first = records[0]
    declared = ROWS.get(row)
    contents = {record.dataset.config(record.task): record.dataset.content_hash[:SHORT_HASH] for record in records}
    dates = sorted(record.created.date().isoformat() for record in records)
    seconds = [record.training["wall_time_s"] for record in records if "wall_time_s" in record.training]
    parameters = sorted({number for record in records if (number := record.model.n_parameters) is not None})
    facts = {
        "model": declared.title if declared else row,
        "group": "variant, to find the cause of a gap" if declared and declared.group == "ablation" else "",
        "numbers": _MEANS if any(record.seed is not None for record in records) else "",
        "parameters": ", ".join(f"{number:,}" for number in parameters),
        "training": f"{fmean(seconds) / 60.0:.1f} minutes a model, mean" if seconds else "",
        "device": first.model.device,
        "processor": ", ".join(dict.fromkeys(f"{r.machine.processor}, {r.machine.cores} cores" for r in records)),
        "packages": ", ".join(f"{name} {each}" for name, each in sorted(first.machine.packages.items())),
        "python": first.machine.python,
        "measured": dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
        "content of the data": ", ".join(f"{config} {content}" for config, content in contents.items()),
        "files, sha256": _files(records),
    }
    return tuple((name, one_line(text)) for name, text in facts.items() if text)


def _files(records: Sequence[RunRecord]) -> str:
    found = []
    for record in records:
        place = record.task + ("" if record.seed is None else f" seed {record.seed}")
        files = [f"{name} {sha256[:SHORT_HASH]}" for name, sha256 in sorted(record.model.files.items())]
        found += [f"{place}: {', '.join(files)}"] if files else []
    return "; ".join(found)


def _cautions(records: Sequence[RunRecord], data: DataOf) -> tuple[str, ...]:
    model = records[0].model
    if model.protocol == "control" or model.level_of_theory in (None, data.labels):
        return ()
    return (
        f"its level of theory is {model.level_of_theory}, that of the labels {data.labels}: every error includes the "
        "difference between the levels, which moves the gap towards 1",
    )
