"""How far two levels of theory lie apart: force MAE between the labels of the same frames, by terminal fragment.

python -m tests.benchmarks.level_distance mini --task task2 --labels gfn2-xtb wb97x
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from dataset_builders.chemistry.levels import LEVELS, find_level
from dataset_builders.core.units import MILLI
from dataset_builders.folder.mini import MINI_DIRECTORY

SPLITS = ("test_id", "test_ood")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", help="data-set folder, or `mini`")
    parser.add_argument("--task", default="task2")
    parser.add_argument("--labels", nargs=2, default=("gfn2-xtb", "wb97x"), choices=tuple(LEVELS))
    arguments = parser.parse_args()
    folder = MINI_DIRECTORY if arguments.directory == "mini" else Path(arguments.directory)
    first, second = (find_level(name) for name in arguments.labels)
    table = Table(title=f"{second.method} against {first.method}, {arguments.task}, force MAE in meV/Å")
    table.add_column("left end")
    for split in SPLITS:
        table.add_column(split, justify="right")
        table.add_column("frames", justify="right")
    found = {
        split: errors_of(*(folder / level.config(arguments.task) for level in (first, second)), split)
        for split in SPLITS
    }
    if not any(found.values()):
        raise SystemExit(f"{folder} holds no frames of {arguments.task} with labels of both levels; relabel it first")
    for left in [*dict.fromkeys(left for errors in found.values() for left in sorted(errors)), None]:
        table.add_row(left or "all", *(cell for split in SPLITS for cell in cells_of(found[split], left)))
    Console(width=100).print(table)


def errors_of(first: Path, second: Path, split: str) -> dict[str, list[np.ndarray]]:
    """Absolute differences of the force components of the frames that both have, by the fragment at the left end."""
    known = {key_of(row): row for row in rows_of(first, split)}
    errors: dict[str, list[np.ndarray]] = {}
    for row in rows_of(second, split):
        other = known.get(key_of(row))
        if other is None:
            continue
        assert other["positions"] == row["positions"]
        errors.setdefault(row["left"], []).append(np.abs(np.array(row["forces"]) - np.array(other["forces"])))
    return errors


def rows_of(config: Path, split: str) -> list[dict]:
    return [row for path in sorted(config.glob(f"{split}-*.parquet")) for row in pq.read_table(path).to_pylist()]


def key_of(row: dict) -> tuple[str, str, int]:
    return row["molecule_id"], row["trajectory"], row["frame"]


def cells_of(errors: dict[str, list[np.ndarray]], left: str | None) -> tuple[str, str]:
    chosen = [each for name, of_name in errors.items() if left in (None, name) for each in of_name]
    return (f"{np.concatenate(chosen).mean() / MILLI:.0f}", str(len(chosen))) if chosen else ("", "0")


if __name__ == "__main__":
    main()
