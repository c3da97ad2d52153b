"""Labels frames of mini with springs in place of a functional, slowly, as a process that can be killed."""

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from dataset_builders.chemistry.levels import GFN2, LEVELS
from dataset_builders.core.console import exit_code_of
from dataset_builders.core.sole_user import sole_user
from dataset_builders.engines.workers import Pool
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.relabel import relabelled_edition as module
from dataset_builders.relabel.frames_to_label import RelabelSettings
from dataset_builders.tasks.regions import TASKS

_SECONDS: Final = 0.02
"""Time of a label."""
_COUNTS: Final = {"train": 1, "validation": 0, "test_id": 1, "test_ood": 1}


def _label(_: object, numbers: NDArray[np.uint8], positions: NDArray[np.float32]) -> tuple[float, NDArray[np.float64]]:
    time.sleep(_SECONDS)
    there = positions.astype(float)
    return float(-40.0 * numbers.sum() + (there**2).sum()), -2.0 * there


@contextmanager
def _one_thread() -> Iterator[Pool]:
    """One worker in this process, so that what is replaced here is replaced there."""
    with ThreadPoolExecutor(1) as executor:
        yield Pool(executor, 1, window=2)


def main() -> int:
    """Labels task4 into `relabelled`, from what an earlier process left in `work`, as the command does."""
    settings = RelabelSettings(
        source=MINI_DIRECTORY, source_level=GFN2, tasks=(TASKS["task4"],), level=LEVELS["wb97x"],
        frame_counts=_COUNTS, out=Path("relabelled"), work_dir=Path("work"),
    )  # fmt: skip
    replaced = {
        "compute_label": _label,
        "check_worker": lambda *_: None,
        "label_metadata": lambda _: {"method": "toy"},
        "label_versions": lambda _: {"toy": "1"},
        "frames_per_batch": lambda _: 4,
    }
    with mock.patch.multiple(module, **replaced), sole_user(settings.out, "build", "choose another --out"):
        module.relabel(settings, _one_thread)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
