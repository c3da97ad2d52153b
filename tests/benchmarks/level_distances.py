"""Makes the distances between levels of theory that the package ships, from labels and from forces of `level_forces`.

python -m tests.benchmarks.level_distances

Writes dataset_builders/data/level_distances/distances.json and the tables of docs/levels.md.

Two levels of labels are compared on all frames of both test splits that mini has at both (each frame once, whichever
tasks share it), and on those of kept labels. A level without labels is compared on the frames of `level_forces`.
"""

import hashlib
import itertools
import json
from dataclasses import asdict
from importlib.metadata import version

import numpy as np
import pyarrow.parquet as pq

from dataset_builders.chemistry.foreign_levels import FOREIGN_LEVELS
from dataset_builders.chemistry.levels import LEVELS, LEVELS_BY_SUFFIX
from dataset_builders.folder.mini import MINI_DIRECTORY
from harness.data.level_distances import DISTANCES, level_distances
from tests.benchmarks.level_forces import FORCES, FRAMES, rows_of
from tests.benchmarks.level_tables import main as write_tables

ENOUGH_FRAMES = 12
LEAST_FRAMES = 4
"""Pairs with fewer frames in a split are left out."""

Key = tuple[str, str, int]
"""Molecule, trajectory and frame: a frame is the same in every task."""


def main() -> None:
    forces, split_of = all_forces()
    small = {key_of(frame) for frame in FRAMES}
    distances = []
    for first, second in itertools.combinations(forces, 2):
        is_foreign = any(method not in {level.method for level in LEVELS.values()} for method in (first, second))
        common = forces[first].keys() & forces[second].keys() & (small if is_foreign else split_of.keys())
        # Frames of `train` are of the same molecules; they count where `test_id` alone has too few.
        is_enough = not is_foreign and sum(split_of[key] == "test_id" for key in common) >= ENOUGH_FRAMES
        wanted = {"test_id": ("test_id",) if is_enough else ("test_id", "train"), "test_ood": ("test_ood",)}
        parts = {
            split: distance(forces[first], forces[second], [key for key in common if split_of[key] in names])
            for split, names in wanted.items()
        }
        if all(part["n_frames"] >= LEAST_FRAMES for part in parts.values()):
            computed = {level.method: level.computed for level in FOREIGN_LEVELS.values() if level.is_stand_in}
            used = {method: text for method, text in computed.items() if method in (first, second)}
            distances.append({"levels": [first, second], **parts, **({"computed": used} if used else {})})
    document = {"format": "level distances 1", "unit": "eV/Å", **provenance(), "distances": distances}
    DISTANCES.parent.mkdir(parents=True, exist_ok=True)
    DISTANCES.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for each in distances:
        sizes = ", ".join(
            f"{each[split]['force_mae'] * 1e3:.1f} ({each[split]['n_frames']})" for split in ("test_id", "test_ood")
        )
        print(f"{each['levels'][0]:28}{each['levels'][1]:28}{sizes}")
    level_distances.cache_clear()
    write_tables()


def all_forces() -> tuple[dict[str, dict[Key, np.ndarray]], dict[Key, str]]:
    """Forces by method and frame, and the split of each frame."""
    forces: dict[str, dict[Key, np.ndarray]] = {}
    split_of: dict[Key, str] = {}
    # Tasks with labels of several levels only: an OOD molecule of another task may train in one of these.
    several = {path.name.partition("-")[0] for path in MINI_DIRECTORY.glob("task*-*")}
    for path in sorted(MINI_DIRECTORY.glob("task*/*.parquet")):
        task, _, suffix = path.parent.name.partition("-")
        split = path.name.partition("-")[0]
        if task not in several:
            continue
        for row in pq.read_table(path).to_pylist():
            key = (row["molecule_id"], row["trajectory"], row["frame"])
            forces.setdefault(LEVELS_BY_SUFFIX[suffix].method, {})[key] = np.array(row["forces"])
            if split_of.get(key) not in ("test_ood", "test_id"):
                split_of[key] = split
    for folder in sorted(MINI_DIRECTORY.parent.glob("labels/*")):
        level = next(level for name, level in LEVELS.items() if folder.name.startswith(f"{name}-"))
        for path in sorted(folder.glob("*.parquet")):
            for row in pq.read_table(path).to_pylist():
                key = (row["molecule_id"], row["trajectory"], row["frame"])
                if key in split_of:
                    forces.setdefault(level.method, {})[key] = np.array(row["forces"])
    for row in rows_of(FORCES):
        known = FOREIGN_LEVELS if row["level"] in FOREIGN_LEVELS else LEVELS
        forces.setdefault(known[row["level"]].method, {}).setdefault(
            key_of(tuple(row["frame"])), np.array(row["forces"]).ravel()
        )
    return forces, split_of


def key_of(frame: tuple[str, str, str, int]) -> Key:
    _, split, molecule, number = frame
    return molecule, "secondary" if split == "test_id" else "primary", number


def distance(first: dict[Key, np.ndarray], second: dict[Key, np.ndarray], keys: list[Key]) -> dict:
    apart = [np.abs(first[key] - second[key]) for key in sorted(keys)]
    return {
        "force_mae": round(float(np.concatenate(apart).mean()), 6) if apart else None,
        "n_frames": len(keys),
        "n_molecules": len({key[0] for key in keys}),
    }


def provenance() -> dict:
    files = sorted([*MINI_DIRECTORY.glob("task*/*.parquet"), *MINI_DIRECTORY.parent.glob("labels/*/*.parquet"), FORCES])
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(f"{path.relative_to(MINI_DIRECTORY.parent)} ".encode())
            digest.update(hashlib.sha256(path.read_bytes()).hexdigest().encode())
    used = [level for level in FOREIGN_LEVELS.values() if any(row["level"] == level.name for row in rows_of(FORCES))]
    return {
        "files": digest.hexdigest(),
        "programs": {name: version(name) for name in ("pyscf", "dftd3", "tblite")},
        "small_frames": [list(frame) for frame in FRAMES],
        "settings": {
            level.method: {"computed": level.computed, "vv10": level.has_vv10, **asdict(level.dft)} for level in used
        },
    }


if __name__ == "__main__":
    main()
