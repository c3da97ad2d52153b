"""One of several processes that evaluate three toy models together, as a process that a test can make fail.

RANK=… WORLD_SIZE=… MASTER_ADDR=… MASTER_PORT=… python -m tests.harness.meeting_process DATASET OUTPUT WHAT
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

from dataset_builders.core.console import exit_code_of
from dataset_builders.core.errors import ModelError
from harness.core.batch import StructureBatch
from harness.core.potential import Potential
from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.inference.board import Limits
from harness.inference.meeting import meeting
from harness.inference.ranks import current_ranks
from harness.models.registry import ModelSource
from harness.models.resolve import resolve_model
from tests.harness.toy_potential import TRAITS, Harmonic

LIMITS = Limits(beat=0.1, arrival=110.0, silence=10.0, farewell=10.0)
RANK = current_ranks().rank


def fail(_: StructureBatch) -> None:
    raise ModelError("the second model is broken")


def die(_: StructureBatch) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def nothing(_: StructureBatch) -> None:
    pass


def potential(number: int, what: str) -> Potential:
    who, _, does = what.partition(":")
    before = {"fails": fail, "dies": die}.get(does, nothing) if number == 2 and int(who or -1) == RANK else nothing
    return Harmonic(traits=replace(TRAITS, model_id=f"toy{number}", head=str(number)), before=before)


def evaluate_all(dataset: str, output: str, what: str) -> int:
    options = RunOptions(output=Path(output), batch_atoms=60, quiet=True)
    sources = iter(range(1, 4))

    def load(_: ModelSource, __: object) -> Potential:
        return potential(next(sources), what)

    with (
        mock.patch("harness.inference.batching.STRUCTURES_PER_SHARD", 8),
        mock.patch("harness.worker.loading.load_potential", side_effect=load),
        meeting(current_ranks(), LIMITS) as together,
    ):
        for _ in range(3):
            evaluate_model(resolve_model("zero"), open_dataset(dataset), options, together)
    print("done")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: evaluate_all(*sys.argv[1:])))
