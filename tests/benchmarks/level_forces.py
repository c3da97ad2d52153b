"""Forces at levels of theory that have no labels, on 24 small frames of mini; a killed run goes on where it stopped.

nice -n 15 python -m tests.benchmarks.level_forces                # all of what is missing
python -m tests.benchmarks.level_forces --level wb97m-v

Appends to dataset_builders/data/level_distances/forces.jsonl, one line a level and frame. `python -m
tests.benchmarks.level_distances` makes the distances of it. One thread, 20 to 60 s of CPU a frame.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dataset_builders.chemistry.dft import dft_singlepoint
from dataset_builders.chemistry.foreign_levels import FOREIGN_LEVELS
from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.folder.mini import MINI_DIRECTORY

FORCES = MINI_DIRECTORY.parent / "level_distances" / "forces.jsonl"
FRAMES = [
    *(("task2", "test_id", f"{name}-2-H", 5) for name in ("H", "Cl", "OH", "CN", "SH", "NH2", "CHO", "COOH")),
    *(("task2", "train", f"{name}-2-H", 0) for name in ("H", "Cl", "OH", "CN")),
    *(("task2", "test_ood", f"{name}-2-{name}", 0) for name in ("Cl", "OH", "SH", "CN")),
    *(("task3", "test_ood", name, 0) for name in ("Cl-2-OH", "CN-2-Cl", "CN-2-OH", "CHO-2-Cl", "Cl-2-NH2")),
    *(("task3", "test_ood", name, 0) for name in ("CN-2-NH2", "NH2-2-OH", "CHO-2-OH")),
]
"""Task, split, molecule and frame: 12 of training molecules, 12 of OOD molecules, each with labels of wB97M-D3(BJ)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--level", nargs="+", default=[*FOREIGN_LEVELS, "pbe-d3bj"], choices=[*FOREIGN_LEVELS, *DFT])
    parser.add_argument("--out", type=Path, default=FORCES)
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["level"], *row["frame"]) for row in rows_of(arguments.out)}
    for level in arguments.level:
        # ID and OOD in turn, so that a run that is cut short has frames of both.
        for frame in (each for pair in zip(FRAMES[:12], FRAMES[12:], strict=True) for each in pair):
            if (level, *frame) not in done and not is_labelled(level, frame):
                row = computed(level, frame)
                with arguments.out.open("a", encoding="utf-8") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(level, *frame, f"{row['cpu_seconds']} s", flush=True)


def _of_label_level(name: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    settings = LEVELS[name].dft
    return lambda numbers, positions: dft_singlepoint(settings, numbers, positions)[1]


DFT = {name: _of_label_level(name) for name, level in LEVELS.items() if level.dft is not None}


def computed(level: str, frame: tuple[str, str, str, int]) -> dict:
    numbers, positions = geometry(frame)
    forces_at = FOREIGN_LEVELS[level].forces if level in FOREIGN_LEVELS else DFT[level]
    started = time.process_time()
    forces = forces_at(numbers, positions)
    return {
        "level": level,
        "frame": list(frame),
        "programs": {name: version(name) for name in ("pyscf", "dftd3")},
        "threads": int(os.environ.get("OMP_NUM_THREADS", "0")),
        "cpu_seconds": round(time.process_time() - started, 1),
        "forces": np.round(forces, 6).tolist(),
    }


def is_labelled(level: str, frame: tuple[str, str, str, int]) -> bool:
    """Whether mini has a label of the frame at the level already."""
    if level not in LEVELS:
        return False
    task, split, molecule, number = frame
    paths = (MINI_DIRECTORY / LEVELS[level].config(task)).glob(f"{split}-*.parquet")
    rows = (row for path in paths for row in pq.read_table(path).to_pylist())
    return any((row["molecule_id"], row["frame"]) == (molecule, number) for row in rows)


def geometry(frame: tuple[str, str, str, int]) -> tuple[np.ndarray, np.ndarray]:
    task, split, molecule, number = frame
    for path in sorted((MINI_DIRECTORY / task).glob(f"{split}-*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if (row["molecule_id"], row["frame"]) == (molecule, number):
                return np.array(row["atomic_numbers"]), np.array(row["positions"], dtype=np.float64).reshape(-1, 3)
    raise SystemExit(f"mini has no frame {number} of {molecule} in {split} of {task}")


def rows_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


if __name__ == "__main__":
    main()
