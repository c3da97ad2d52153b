"""Options of the commands that compute on many cores: which engine, how many workers, which stage, which folders."""

import argparse
from pathlib import Path

from dataset_builders.errors import UsageError


def add_engine_options(parser: argparse.ArgumentParser, pieces: str, probe: str) -> argparse._MutuallyExclusiveGroup:
    """Adds `--executor`, `--workers`, `--plan`, `--shard` and `--merge`.

    Args:
        parser: Of the command.
        pieces: What the workers make, in the plural.
        probe: What `--plan` times, and how long that takes.

    Returns:
        The group of the stages, of which a command takes one at most.
    """
    how = parser.add_argument_group("how (docs/scaling.md)")
    how.add_argument(
        "--executor",
        default="local",
        metavar="ENGINE",
        help="local, dask://HOST:PORT, dask-slurm, parsl:CONFIG or mpi (default: local)",
    )
    how.add_argument("--workers", type=int, metavar="N", help="processes (default: all cores that may be used)")
    stage = how.add_mutually_exclusive_group()
    stage.add_argument("--plan", action="store_true", help=f"time {probe}, print what it would take and stop")
    stage.add_argument(
        "--shard",
        metavar="I/N",
        help=f"make share I of N of the {pieces} and stop before the data-set folder is written",
    )
    stage.add_argument(
        "--merge", action="store_true", help=f"write the data-set folder from finished {pieces}, make none"
    )
    return stage


def local_folder(option: str, text: str) -> Path:
    """The folder that an option names.

    Raises:
        UsageError: If it names a place that is no folder of a file system.
    """
    if "://" in text:
        raise UsageError(
            f"{option} {text}: expected a folder. Workers write to a file system that they share; send the "
            "finished folder to the Hub with `python -m dataset_builders publish`, and to other places with their tools"
        )
    return Path(text).resolve()
