"""An evaluation with a slow toy potential, as a process that a test can kill.

python -m tests.harness.slow_run DATASET OUTPUT SECONDS_PER_BATCH
"""

import sys
from pathlib import Path
from unittest import mock

from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.models.resolve import resolve_model
from tests.harness.toy_potential import Harmonic

if __name__ == "__main__":
    potential = Harmonic(delay=float(sys.argv[3]))
    options = RunOptions(output=Path(sys.argv[2]), batch_atoms=60, quiet=True)
    with (
        mock.patch("harness.inference.batching.STRUCTURES_PER_SHARD", 8),
        mock.patch("harness.worker.loading.load_potential", return_value=potential),
    ):
        evaluate_model(resolve_model("zero"), open_dataset(sys.argv[1]), options)
