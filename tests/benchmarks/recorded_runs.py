"""Trainings whose results are kept as a line of JSON each, so that a comparison of many can be interrupted."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset_builders.core.hashes import file_sha256
from harness.networks.checkpoint_format import WEIGHTS_FILE, read_config
from harness.networks.finished import holds_finished_checkpoint


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a file; none if it does not exist."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def add_record(path: Path, record: Mapping[str, Any]) -> None:
    """Adds a record at the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def provenance(checkpoint: Path, task_sha256: str, options: Sequence[str]) -> dict[str, str]:
    """What identifies a trained model in a record: data, weights and command.

    Args:
        checkpoint: Its folder.
        task_sha256: Content hash of the task that it was trained on.
        options: Options of `harness train`, apart from the folders.
    """
    return {
        "train_sha256": read_config(checkpoint).training["data_hash"],
        "task_sha256": task_sha256,
        "weights": file_sha256(checkpoint / WEIGHTS_FILE),
        "command": shlex.join(["python", "-m", "harness", "train", *options]),
    }


def train(folder: Path, dataset: Path, options: Sequence[str]) -> None:
    """Trains a model, or goes on with a training that was interrupted; a finished one stays.

    Args:
        folder: Where the checkpoint goes.
        dataset: Folder of the data set.
        options: Further options of `harness train`.

    Raises:
        CalledProcessError: If the training fails.
    """
    if not holds_finished_checkpoint(folder):
        command = [sys.executable, "-m", "harness", "train", "--dataset", str(dataset), "--out", str(folder)]
        subprocess.run([*command, *options], check=True)
