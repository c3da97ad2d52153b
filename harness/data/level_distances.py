"""How far levels of theory lie apart: the error that a perfect model of one level has at labels of another.

The distances are data of the package, `dataset_builders/data/level_distances/distances.json`, which `python -m
tests.benchmarks.level_distances` makes from labels and from forces of `python -m tests.benchmarks.level_forces`.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataset_builders.core.hashes import SHORT_HASH, text_sha256
from dataset_builders.folder.mini import MINI_DIRECTORY

DISTANCES: Final = MINI_DIRECTORY.parent / "level_distances" / "distances.json"


@dataclass(frozen=True, slots=True)
class SplitDistance:
    """Distance between two levels on the frames of a split.

    Attributes:
        force_mae: Mean absolute difference of the force components, eV/Å.
        n_frames: Number of frames.
        n_molecules: Number of molecules.
    """

    force_mae: float
    n_frames: int
    n_molecules: int


@dataclass(frozen=True, slots=True)
class LevelDistance:
    """Distance between two levels of theory.

    Attributes:
        levels: The two methods, in either order.
        test_id: On molecules of the training sets, in frames of `test_id` or `train`.
        test_ood: On OOD molecules.
        computed: Methods that were computed in place of the levels, by level; empty where they are the same.
        source: Hash of the file that the distance is from.
    """

    levels: tuple[str, str]
    test_id: SplitDistance
    test_ood: SplitDistance
    computed: Mapping[str, str]
    source: str

    @property
    def size(self) -> float:
        """Mean of both splits, eV/Å, by which levels are called near or far."""
        return 0.5 * (self.test_id.force_mae + self.test_ood.force_mae)


@functools.cache
def level_distances(path: Path = DISTANCES) -> tuple[LevelDistance, ...]:
    """All measured distances."""
    text = path.read_text(encoding="utf-8")
    source = text_sha256(text)[:SHORT_HASH]
    return tuple(_distance(document, source) for document in json.loads(text)["distances"])


def distance_between(
    first: str | None, second: str, known: Sequence[LevelDistance] | None = None
) -> LevelDistance | None:
    """The distance between two different levels; `None` if it was not measured, or a level is unknown.

    Args:
        first: Method of a level.
        second: Method of another level.
        known: Distances; by default those of the package.
    """
    pair = {first, second}
    if None in pair or len(pair) == 1:
        return None
    return next((each for each in (level_distances() if known is None else known) if set(each.levels) == pair), None)


def _distance(document: Mapping[str, Any], source: str) -> LevelDistance:
    first, second = document["levels"]
    return LevelDistance(
        levels=(first, second),
        test_id=SplitDistance(**document["test_id"]),
        test_ood=SplitDistance(**document["test_ood"]),
        computed=document.get("computed", {}),
        source=source,
    )
