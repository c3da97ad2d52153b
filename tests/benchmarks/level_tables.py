"""Writes the tables of docs/levels.md: distances between levels, and known checkpoints.

python -m tests.benchmarks.level_tables
"""

from collections.abc import Iterator
from pathlib import Path

from dataset_builders.core.units import MILLI
from harness.core.known_checkpoints import KnownCheckpoint, known_checkpoints
from harness.data.level_distances import level_distances
from tests.benchmarks.marked_tables import with_table

PAGE = Path(__file__).parents[2] / "docs" / "levels.md"


def main() -> None:
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_tables(text: str) -> str:
    for name, lines in (("distances", distances()), ("checkpoints", checkpoints())):
        text = with_table(text, name, "\n".join(lines))
    return text


def distances() -> Iterator[str]:
    yield "| levels | | ID (frames) | OOD (frames) |"
    yield "|---|---|---|---|"
    for each in level_distances():
        first, second = (f"{level} *" if level in each.computed else level for level in each.levels)
        cells = (f"{part.force_mae / MILLI:.1f} ({part.n_frames})" for part in (each.test_id, each.test_ood))
        yield f"| {first} | {second} | {' | '.join(cells)} |"


def checkpoints() -> Iterator[str]:
    yield "| checkpoint | family | level of theory | trained on | charge / spin | sha256 known |"
    yield "|---|---|---|---|---|---|"
    for row in known_checkpoints():
        takes = f"{row.charge or 'unknown'} / {row.spin or 'unknown'}"
        cells = (row.name, row.family, _levels(row), row.training or "unknown", takes, "yes" if row.sha256 else "")
        yield f"| {' | '.join(cells)} |"


def _levels(row: KnownCheckpoint) -> str:
    return row.level or "; ".join(f"{head}: {level}" for head, level in row.levels.items())


if __name__ == "__main__":
    main()
