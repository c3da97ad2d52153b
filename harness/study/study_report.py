"""The report of a study, a function of its records only: identical records give identical bytes."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.whole_file import write_text_whole
from dataset_builders.tasks.editions import edition_note
from dataset_builders.tasks.regions import TASKS, TaskName, in_order
from harness.networks.finished import follows_the_clock
from harness.scoring.intervals import FEW_CLUSTERS
from harness.study.anatomy_blocks import ANATOMY_FIGURE, anatomy_blocks, draw_anatomies
from harness.study.figure_groups import parts_of
from harness.study.figures import (
    ABLATIONS_FIGURE,
    DISTANCE_FIGURE,
    GAP_DRAWING,
    GAP_FIGURE,
    REFERENCES_FIGURE,
    SPACER_FIGURE,
    draw_figures,
)
from harness.study.former_records import CARRIED
from harness.study.provenance_block import provenance_text
from harness.study.report_texts import (
    ABLATIONS_TEXT,
    ANATOMY_TEXT,
    CARRIED_OVER,
    DISTANCE_TEXT,
    DISTANCES,
    ENERGIES,
    FEW,
    GAP_TEXT,
    HOW_TO_READ,
    RANKING,
    REFERENCES_TEXT,
    SEEDS,
    SPACER_TEXT,
    SPACERS,
    SUBSETS,
    FigureText,
)
from harness.study.run_record import RECORDS_NAME, Number, RunRecord, read_records
from harness.study.seed_ranking import MODELS, ModelRanking, rank_models
from harness.study.summary import Line, summarise
from harness.study.table_rows import NOT_OFFERED, ROWS, Row
from harness.study.tables import (
    UNDEFINED,
    distance_table,
    energy_table,
    fragment_table,
    main_table,
    neighbour_table,
    ranking_table,
    spacer_table,
    subset_table,
    training_table,
)

REPORT_NAME: Final = "README.md"
FINDINGS_NAME: Final = "findings.md"

_RANKED_BY: Final[Mapping[str, Callable[[RunRecord], Number]]] = MappingProxyType(
    {
        "OOD force MAE": lambda record: record.force_mae["test_ood"],
        "gap": lambda record: record.gap,
        "excess": lambda record: record.excess,
    }
)


def write_report(results: Path) -> Path:
    """Writes the report and its figures beside the records.

    Args:
        results: Folder of the results of one edition at one level of theory.

    Returns:
        The file of the report.

    Raises:
        DataError: If there are no records, or they belong to several data sets.
        SetupError: If the folder cannot be written to.
    """
    records = read_records(results)
    if not records:
        raise DataError(f"{results} contains no records ({RECORDS_NAME}); run the study first")
    editions = sorted({record.dataset.edition for record in records})
    if len(editions) > 1:
        raise DataError(
            f"the records in {results} are of {len(editions)} editions ({', '.join(editions)}); a report needs one. "
            "Give each a folder of its own with --out"
        )
    for task in in_order(record.task for record in records):
        hashes = sorted({record.dataset.content_hash for record in records if record.task == task})
        if len(hashes) > 1:
            raise DataError(
                f"the records of {task} in {results} are of {len(hashes)} data sets "
                f"({', '.join(each[:SHORT_HASH] for each in hashes)}); a table needs a single one. Run the study "
                "again, or move the records of the other data sets elsewhere"
            )
    lines = summarise(records)
    path = results / REPORT_NAME
    try:
        figures = (*draw_figures(lines, results), *draw_anatomies(lines, results))
        write_text_whole(path, report_text(records, lines, figures, (results / FINDINGS_NAME).exists()))
    except OSError as cause:
        raise SetupError(f"cannot write to {results}: {cause.strerror or cause}; choose a folder with --out") from cause
    return path


def report_text(
    records: Sequence[RunRecord], lines: Sequence[Line], figures: Sequence[str], has_findings: bool = False
) -> str:
    """The report in Markdown.

    Args:
        records: All runs, of one data set.
        lines: The summarised records; see `summarise`.
        figures: Names of the available figures.
        has_findings: Whether a written interpretation accompanies the report.
    """
    tasks = in_order(line.task for line in lines)
    data = records[0].dataset
    blocks = [
        f"# Results on the edition `{data.edition}`" + (f", labels {data.level_of_theory}" if data.suffix else ""),
        _opening(records, has_findings),
        f"**{note}.**" if (note := edition_note(data.edition)) else "",
        _figure(GAP_TEXT, GAP_FIGURE, figures),
        f"[The figure as SVG]({GAP_DRAWING})" if GAP_DRAWING in figures else "",
        "## Forces",
        HOW_TO_READ,
        CARRIED_OVER if any(record.excess.reason == CARRIED for record in records) else "",
        _other_levels(records),
        *_per_task(tasks, lines, records, main_table, with_command=True),
        _figure(REFERENCES_TEXT, REFERENCES_FIGURE, figures),
        _figure(ABLATIONS_TEXT, ABLATIONS_FIGURE, figures),
        *_subset_blocks(tasks, lines, records),
        *anatomy_blocks(lines, _figure(ANATOMY_TEXT, ANATOMY_FIGURE, figures)),
        *_ranking_blocks(tasks, lines),
        "## Error against spacer length",
        SPACERS,
        *_per_task(tasks, lines, records, spacer_table),
        _figure(SPACER_TEXT, SPACER_FIGURE, figures),
        "## Error against distance to training",
        DISTANCES,
        *_per_task(tasks, lines, records, distance_table),
        _figure(DISTANCE_TEXT, DISTANCE_FIGURE, figures),
        "## Energies and reference energies",
        ENERGIES,
        *_per_task(tasks, lines, records, energy_table),
        *_training_blocks(lines),
        *_missing_blocks(records),
        "## Provenance",
        provenance_text(records),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def study_command(records: Iterable[RunRecord]) -> str:
    """The commands that create these records, one per line; rows with the same options share one."""
    groups: dict[tuple[str, ...], list[RunRecord]] = {}
    for record in records:
        length = record.asked[: record.asked.index("--model")] if "--model" in record.asked else record.asked
        groups.setdefault(length, []).append(record)
    # Rows without a training length join the first command that has one.
    alone = groups.pop((), [])
    if not groups:
        groups[()] = []
    commands = []
    for length, group in groups.items():
        commands.append(_study_command(length, [*alone, *group]))
        alone = []
    return "\n".join(commands)


def _study_command(length: Sequence[str], records: Sequence[RunRecord]) -> str:
    rows = sorted({record.row for record in records}, key=_row_place)
    tasks = in_order(record.task for record in records)
    seeds = sorted({record.seed for record in records if record.seed is not None})
    models = sorted({record.asked[-1] for record in records if "--model" in record.asked})
    data = records[0].dataset
    labels = ["--labels", data.level.name] if data.suffix else []
    arguments = ["python", "-m", "harness", "study", "--dataset", data.id, *labels, "--rows", *rows]
    arguments += ["--tasks", *tasks]
    arguments += ["--seeds", *map(str, seeds)] if seeds else []
    arguments += [*length, *(word for model in models for word in ("--model", model))]
    return shlex.join([*arguments, "--out", "results/again"])


def _opening(records: Sequence[RunRecord], has_findings: bool) -> str:
    data = records[0].dataset
    n_rows, n_tasks = (len({getattr(record, name) for record in records}) for name in ("row", "task"))
    size = f"{counted(len(records), 'run')}: {counted(n_rows, 'row')} on {counted(n_tasks, 'task')}"
    text = (
        f"{size}, labels {data.level_of_theory}. Written by `python -m harness study --report-only` from "
        f"[{RECORDS_NAME}]({RECORDS_NAME}), which lists the numbers, the hashes and the commands of each run. The "
        "command below each table of forces repeats its runs in a separate folder; with the default folder, it "
        "computes only the runs that are missing."
    )
    return text + (f" An interpretation: [{FINDINGS_NAME}]({FINDINGS_NAME})." if has_findings else "")


def _per_task(
    tasks: Sequence[TaskName],
    lines: Sequence[Line],
    records: Sequence[RunRecord],
    table: Callable[[Sequence[Line]], str],
    *,
    with_command: bool = False,
) -> list[str]:
    blocks = []
    for task in tasks:
        of_task = [line for line in lines if line.task == task]
        blocks += [f"### {task}: {of_task[0].title}", table(of_task)]
        if with_command:
            command = study_command([record for record in records if record.task == task])
            blocks += [*_single_values(of_task), _summary_sentences(of_task), f"```console\n{command}\n```"]
    return blocks


def _single_values(lines: Sequence[Line]) -> list[str]:
    """Gaps by fragment, if there are too few fragments to rely on an interval alone."""
    counts = [line.force_mae["test_ood"].n_clusters for line in lines]
    few = any(count is not None and count < FEW_CLUSTERS for count in counts)
    return [FEW, fragment_table(lines)] if few else []


def _other_levels(records: Sequence[RunRecord]) -> str:
    """A caution about rows whose level of theory differs from that of the labels."""
    labels = records[0].dataset.level_of_theory
    levels = {record.row: record.model.level_of_theory for record in records}
    others = [f"`{row}` ({level})" for row, level in levels.items() if level not in (None, labels)]
    if not others:
        return ""
    return (
        f"The labels are {labels}. Rows at another level of theory include the difference between the levels in every "
        f"error, ID and OOD alike, which moves their gap towards 1: {', '.join(others)}."
    )


def _summary_sentences(lines: Sequence[Line]) -> str:
    """Generated sentences that summarise the table of one task."""
    learned = [line for line in lines if line.records[0].kind in ("trained", "fine-tuned")]
    sentences = []
    known = [line for line in learned if line.force_mae["test_ood"].value is not None]
    if known:
        best = min(known, key=lambda line: line.force_mae["test_ood"].value or 0.0)
        value = (best.force_mae["test_ood"].value or 0.0) * 1000.0
        sentences.append(
            f"Of the rows trained on this task, `{best.row}` has the smallest OOD error ({value:.1f} meV/Å)."
        )
    above = [line.row for line in lines if line.excess.low is not None and line.excess.low > 1.0]
    below = [line.row for line in lines if line.excess.high is not None and line.excess.high < 1.0]
    if above:
        sentences.append(f"Excess above 1 beyond its interval: {_listed(above)}.")
    if below:
        sentences.append(f"Excess below 1 beyond its interval: {_listed(below)}.")
    return " ".join(sentences)


def _subset_blocks(tasks: Sequence[TaskName], lines: Sequence[Line], records: Sequence[RunRecord]) -> list[str]:
    with_subsets = [
        task for task in tasks if all({"near", "far"} <= set(line.force_mae) for line in lines if line.task == task)
    ]
    if not with_subsets:
        return []
    return ["## Near and far", SUBSETS, *_per_task(with_subsets, lines, records, subset_table)]


def _ranking_blocks(tasks: Sequence[TaskName], lines: Sequence[Line]) -> list[str]:
    blocks = []
    for task in tasks:
        ranked = [line for line in lines if line.task == task and line.records[0].kind in MODELS]
        if len(ranked) > 1:
            blocks += [f"### {task}: {ranked[0].title}", neighbour_table(ranked)]
    return ["## Ranking", RANKING, *blocks, *_seed_blocks(tasks, lines)] if blocks else []


def _seed_blocks(tasks: Sequence[TaskName], lines: Sequence[Line]) -> list[str]:
    blocks = []
    for task in tasks:
        of_task = [line for line in lines if line.task == task]
        rankings = {
            name: ranking
            for name, number in _RANKED_BY.items()
            if (ranking := rank_models(of_task, number)) is not None
        }
        if rankings:
            blocks += [f"### {task}: {of_task[0].title}", ranking_table(rankings), _stability(rankings)]
    return ["## Ranking over seeds", SEEDS, *blocks] if blocks else []


def _stability(rankings: Mapping[str, ModelRanking]) -> str:
    """Generated sentences on how strongly the ranking depends on the seed."""
    seeds = next(iter(rankings.values())).seeds
    taus = ", ".join(f"{_two_digits(ranking.agreement)} by {name}" for name, ranking in rankings.items())
    exchanges = [
        f"Ranked by {name}, {'; '.join(f'`{first}` and `{second}`' for first, second in ranking.exchanged)} change "
        "places."
        for name, ranking in rankings.items()
        if ranking.exchanged
    ]
    return " ".join([f"Seeds {', '.join(map(str, seeds))}. Least tau: {taus}.", *exchanges])


def _two_digits(value: float | None) -> str:
    return UNDEFINED if value is None else f"{value:.2f}"


def _training_blocks(lines: Sequence[Line]) -> list[str]:
    trained = [line for line in lines if line.records[0].training]
    if not trained:
        return []
    text = "Means over seeds. *Numbers stored* counts weights and buffers. Minutes refer to the machine named below."
    rows = dict.fromkeys(
        line.row for line in trained if any(follows_the_clock(record.training) for record in line.records)
    )
    return ["## Training", *([_clock_caution(rows)] if rows else []), text, training_table(trained)]


def _clock_caution(rows: Iterable[str]) -> str:
    return (
        "The learning rate of these rows followed the clock, so their numbers depend on the load of the machine, and "
        f"another run takes a different number of steps: {', '.join(f'`{row}`' for row in rows)}."
    )


def _missing_blocks(records: Sequence[RunRecord]) -> list[str]:
    """Lists the runs that are missing from the table, so that no gap goes unmentioned."""
    tasks = in_order(record.task for record in records)
    seeds: set[int | None] = {record.seed for record in records if record.seed is not None} or {None}
    measured = {record.place for record in records}
    names = {record.row for record in records}
    items = []
    for row in ROWS.values():
        if row.group != "main" and row.name not in names:
            continue
        wanted = [(task, seed) for task in tasks for seed in (seeds if row.seeded else {None})]
        absent = [(task, seed) for task, seed in wanted if (row.name, task, seed) not in measured]
        if len(absent) == len(wanted):
            items.append(f"- `{row.name}` ({row.title}): no run{_need(row)}")
        elif absent:
            runs = ", ".join(task if seed is None else f"{task} seed {seed}" for task, seed in sorted(absent, key=str))
            items.append(f"- `{row.name}`: {runs}")
    items += [f"- {name}: not run, because {reason}" for name, reason in NOT_OFFERED.items()]
    # A data set with custom tasks only does not need the four tasks.
    absent_tasks = [task for task in TASKS if task not in tasks] if set(TASKS) & set(tasks) else []
    if absent_tasks:
        items.append(f"- no run on {', '.join(absent_tasks)}")
    return ["## Not measured", "\n".join(items)] if items else []


def _need(row: Row) -> str:
    if row.environment is not None:
        return f"; needs `python -m harness env create {row.environment}`"
    return f"; needs `--model {row.checkpoint}=PATH`" if row.checkpoint is not None else ""


def _figure(text: FigureText, name: str, figures: Sequence[str]) -> str:
    pictures = [f"![{text.shows}]({part})" for part in parts_of(name, figures)]
    return "\n\n".join([*pictures, f"*{text.shows}. {text.reading}*"]) if pictures else ""


def counted(number: int, what: str) -> str:
    """A count with its noun, such as `1 row`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _row_place(name: str) -> tuple[int, str]:
    names = list(ROWS)
    return (names.index(name) if name in names else len(names)), name
