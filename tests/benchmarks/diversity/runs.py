"""Trains and evaluates one architecture on every training set, and records the errors of each molecule."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from dataset_builders.engines.shares import Shard, share_of
from dataset_builders.folder.content_hash import config_hashes
from harness import evaluate
from harness.networks.checkpoint_format import read_config
from tests.benchmarks.diversity.series import TrainingSet, training_sets
from tests.benchmarks.recorded_runs import add_record, provenance, read_records, train

RECORDS: Final = Path(__file__).parents[3] / "docs" / "results" / "diversity" / "trainings.jsonl"


@dataclass(frozen=True, slots=True)
class Request:
    """What to run.

    Attributes:
        dataset: Folder with the declared tasks.
        arch: Architecture, as for `harness train`.
        steps: Steps of each training; `None` for a control, which has none.
        seed: Seed of networks.
        work: Folder of checkpoints and results.
    """

    dataset: Path
    arch: str
    steps: int | None
    seed: int
    work: Path

    @property
    def row(self) -> str:
        """Name of the row: architecture, steps and seed."""
        return self.arch if self.steps is None else f"{self.arch}, {self.steps:,} steps, seed {self.seed}"


def run_missing(request: Request, shard: Shard) -> None:
    """Runs what has no record yet; each record is written as soon as it is complete.

    Args:
        request: What to run.
        shard: Which of the trainings.
    """
    hashes = config_hashes(request.dataset)
    done = {(record["row"], record["name"]) for record in read_records(RECORDS)}
    # A training set counts in several series, but runs once.
    wanted = list({each.name: each for each in training_sets()}.values())
    for each in share_of(wanted, shard, cost=lambda _: 1.0, rank=lambda each: each.name):
        if (request.row, each.name) in done:
            continue
        record = _record(request, each, hashes[each.task])
        add_record(RECORDS, record)
        print(f"{request.row}: {each.name} {record['id_force_mae'] * 1e3:.1f} meV/Å on ID", flush=True)


def _record(request: Request, of: TrainingSet, task_sha256: str) -> dict[str, Any]:
    folder = request.work / "checkpoints" / f"{request.arch}-{request.steps}-{request.seed}" / of.name
    options = ["--arch", request.arch, "--task", of.task, "--train-frames", str(of.n_frames)]
    if request.steps is not None:
        options += ["--steps", str(request.steps), "--seed", str(request.seed), "--compile", "always"]
        options += ["--patience", "0"]
    train(folder, request.dataset, options)
    result = evaluate(
        str(folder), dataset=request.dataset, tasks=[of.task], output=request.work / "results", device="cpu", quiet=True
    )
    task = result.tasks[of.task]
    return {
        "row": request.row,
        "name": of.name,
        "task": of.task,
        "n_frames": of.n_frames,
        "n_molecules": read_config(folder).training["n_molecules"],
        "edition": result.dataset.edition,
        **provenance(folder, task_sha256, options),
        "id_force_mae": task.splits["test_id"].metrics["force_mae"].value,
        "ood": [
            [row.molecule_id, row.n_frames, row.n_atoms, row.force_mae]
            for row in task.by_molecule
            if row.split == "test_ood"
        ],
    }
