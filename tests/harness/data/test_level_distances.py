"""Distances between levels of theory that the package ships."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from dataset_builders.chemistry.levels import LEVELS
from dataset_builders.folder.mini import MINI_DIRECTORY
from harness.data.level_distances import LevelDistance, SplitDistance, distance_between, level_distances


def forces_of(split: str, *configs: str) -> dict[tuple[str, str, int], np.ndarray]:
    """Labels of a split of mini by molecule, trajectory and frame."""
    return {
        (row["molecule_id"], row["trajectory"], row["frame"]): np.array(row["forces"])
        for config in configs
        for row in pq.read_table(MINI_DIRECTORY / config / f"{split}-00000-of-00001.parquet").to_pylist()
    }


def test_a_distance_is_the_mean_difference_of_the_force_components() -> None:
    found = distance_between(LEVELS["pbe-d3bj"].method, LEVELS["wb97x"].method)
    assert found is not None
    lines = (MINI_DIRECTORY.parent / "level_distances" / "forces.jsonl").read_text(encoding="utf-8").splitlines()
    # Frames at PBE that are no labels: task3 has none at that level.
    more = [row for row in map(json.loads, lines) if row["level"] == "pbe-d3bj"]
    assert {row["frame"][1] for row in more} == {"test_ood"}
    for split, part in (("test_id", found.test_id), ("test_ood", found.test_ood)):
        first = forces_of(split, "task2-pbe")
        if split == "test_ood":
            first |= {(row["frame"][2], "primary", row["frame"][3]): np.ravel(row["forces"]) for row in more}
        second = forces_of(split, "task2-wb97x", "task3-wb97x")
        common = sorted(first.keys() & second.keys())
        apart = np.concatenate([first[key] - second[key] for key in common])
        assert part.n_frames == len(common)
        assert part.force_mae == pytest.approx(np.abs(apart).mean(), abs=1e-6)


def test_each_pair_stands_once_and_is_of_levels_that_models_name() -> None:
    pairs = [frozenset(each.levels) for each in level_distances()]
    assert len(set(pairs)) == len(pairs)
    assert all(len(pair) == 2 for pair in pairs)
    for each in level_distances():
        assert min(each.test_id.n_frames, each.test_ood.n_frames) >= 4
        assert 0.001 < each.size < 1.0
        assert set(each.computed) <= set(each.levels)


def test_a_distance_has_no_direction_and_none_to_itself() -> None:
    here = SplitDistance(0.1, 12, 8)
    known = (LevelDistance(("A", "B"), here, here, {}, "0"),)
    assert distance_between("A", "B", known) == distance_between("B", "A", known) == known[0]
    assert distance_between("A", "A", known) is distance_between(None, "A", known) is None
    assert distance_between("A", "C", known) is None
