"""A build small enough for a test; as a script, `small_build.py ROOT [OPTION...]`, something to kill.

The options are those of `python -m dataset_builders build` that say how: `--executor`, `--workers`, `--shard`.
"""

import argparse
from pathlib import Path

from dataset_builders.build.edition import make_missing_frames
from dataset_builders.build.edition_folder import write_repository
from dataset_builders.build.fanout import BuildSettings
from dataset_builders.engines.choice import choose_executor
from dataset_builders.engines.shares import parse_shard
from dataset_builders.tasks.editions import Edition
from dataset_builders.tasks.regions import Region, Task

SMALL_TASK = Task(
    name="task1",
    title="small",
    tests="the builder",
    train=(Region(("H", "OH"), (1,), "H"),),
    ood=(Region(("F",), (1,), "H"),),
    has_subsets=False,
    origin="tests",
)


def small_settings(work_dir: Path, seed: int = 3) -> BuildSettings:
    return BuildSettings((SMALL_TASK,), Edition("5/5/5/5", 5, 5, 5, 5), seed, work_dir)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--executor", default="local")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--shard", type=parse_shard)
    arguments = parser.parse_args()
    settings = small_settings(arguments.root / "work")
    make_missing_frames(settings, choose_executor(arguments.executor, arguments.workers), arguments.shard)
    if not arguments.shard:
        write_repository(settings, arguments.root / "out")


if __name__ == "__main__":
    main()
