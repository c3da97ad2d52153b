"""The end of a report: data, code, packages and machine behind its numbers, and the hashes of each model."""

from collections.abc import Sequence
from typing import Final

from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.tasks.regions import in_order
from harness.study.run_record import RunRecord
from harness.study.tables import model_table, title_of

_CODE: Final = ("train", "predict", "measure")


def provenance_text(records: Sequence[RunRecord]) -> str:
    """The text in Markdown."""
    data = records[0].dataset
    rows = list(dict.fromkeys(record.row for record in records))
    revision = f", commit `{data.revision}`" if data.revision else ""
    of_task = {record.task: record.dataset.content_hash for record in records}
    contents = ", ".join(f"{task} `{of_task[task]}`" for task in in_order(of_task))
    lines = [
        f"- data set `{data.id}`{revision}, edition {data.edition}; content of the files of each task: {contents}",
        *(f"- code that {what}s: {hashes}" for what in _CODE if (hashes := _hashes(records, what))),
        f"- packages: {_packages(records)}",
        *(f"- machine: {text}" for text in sorted({_machine(record) for record in records})),
        f"- rows: {'; '.join(f'`{row}` {title_of(row)}' for row in rows)}",
    ]
    table = model_table(records)
    return "\n".join(lines) + f"\n\n<details><summary>Models and their hashes</summary>\n\n{table}\n\n</details>"


def _hashes(records: Sequence[RunRecord], what: str) -> str:
    found: dict[str, list[str]] = {}
    for record in records:
        if f"{what}_code" in record.identity:
            found.setdefault(record.identity[f"{what}_code"][:SHORT_HASH], []).append(record.row)
    if len(found) == 1:
        return f"`{next(iter(found))}`"
    return "; ".join(f"`{each}` ({_listed(rows)})" for each, rows in found.items())


def _packages(records: Sequence[RunRecord]) -> str:
    found = {(name, each) for record in records for name, each in record.machine.packages.items()}
    return ", ".join(f"{name} {each}" for name, each in sorted(found))


def _machine(record: RunRecord) -> str:
    machine = record.machine
    return f"{machine.processor}, {machine.cores} cores, {machine.platform}, Python {machine.python}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))
