"""A build small enough for a test; as a script, `small_build.py ROOT WORKERS`, something to kill."""

import sys
from pathlib import Path

from dataset_builders.build import make_missing_frames
from dataset_builders.editions import Edition
from dataset_builders.fanout import BuildSettings
from dataset_builders.repository import write_repository
from dataset_builders.tasks import Region, Task

SMALL_TASK = Task(
    name="task1",
    title="small",
    tests="the builder",
    train=(Region(("H", "OH"), (1, 2), "H"),),
    ood=(Region(("F",), (1,), "H"),),
    has_subsets=False,
    origin="tests",
)


def small_settings(work_dir: Path, seed: int = 3) -> BuildSettings:
    return BuildSettings((SMALL_TASK,), Edition("5/5/5/5", 5, 5, 5, 5), seed, work_dir)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    settings = small_settings(root / "work")
    make_missing_frames(settings, int(sys.argv[2]))
    write_repository(settings, root / "out")
