"""Options of the commands that compute on many cores: engine, workers, stage and folders."""

import argparse
from pathlib import Path

from dataset_builders.core.errors import UsageError


def add_engine_options(parser: argparse.ArgumentParser, pieces: str, probe: str) -> argparse._MutuallyExclusiveGroup:
    """Adds `--executor`, `--workers`, `--plan`, `--shard` and `--merge`.

    Args:
        parser: Parser of the command.
        pieces: Plural noun for what the workers compute.
        probe: What `--plan` times, and its duration.

    Returns:
        The group of the stages, of which a command takes one at most.
    """
    how = parser.add_argument_group("running (docs/scaling.md)")
    how.add_argument(
        "--executor",
        default="local",
        metavar="ENGINE",
        help="local, dask://HOST:PORT, dask-slurm, parsl:CONFIG or mpi (default: local)",
    )
    how.add_argument("--workers", type=int, metavar="N", help="number of workers (default: all available cores)")
    stage = how.add_mutually_exclusive_group()
    stage.add_argument("--plan", action="store_true", help=f"time {probe}, print the estimated cost and stop")
    stage.add_argument(
        "--shard",
        metavar="I/N",
        help=f"compute shard I of N of the {pieces} and stop before writing the data-set folder",
    )
    stage.add_argument(
        "--merge", action="store_true", help=f"write the data-set folder from finished {pieces}, compute none"
    )
    return stage


def local_folder(option: str, text: str) -> Path:
    """The local folder given to an option.

    Raises:
        UsageError: If the value is not a folder of a file system.
    """
    if "://" in text:
        raise UsageError(
            f"{option} {text}: expected a folder. Workers write to a shared file system; upload the "
            "finished folder to the Hub with `python -m dataset_builders publish`, or elsewhere with other tools"
        )
    return Path(text).resolve()
