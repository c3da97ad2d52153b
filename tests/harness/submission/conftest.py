"""An entry of a toy that was trained on task1 of a tiny data set, made once."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.submission.findings import EntryReport
from harness.submission.verify import verify_entry
from harness.submission.write import EntryOptions, write_entry
from tests.harness.submission.forging import evaluated
from tests.harness.training_records import record_of, write_record


@pytest.fixture(scope="session")
def made(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The checkpoint, its run, and its entry; do not write to them."""
    folder = tmp_path_factory.mktemp("submission")
    checkpoint = folder / "m.model"
    checkpoint.write_bytes(b"weights")
    record = write_record(folder / "m.model.mlip-ood.json", record_of(tiny_dataset, "task1"))
    run = evaluated(checkpoint, record, tiny_dataset, folder / "results")
    options = EntryOptions(name="toy", checkpoint="org/toy", records=(record,), datasets=(str(tiny_dataset),))
    written = write_entry([run.directory], folder / "entries", options)
    return SimpleNamespace(
        checkpoint=checkpoint, record=record, run=run, entry=written.directory, written=written, options=options
    )


@pytest.fixture
def entry(made: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the entry that a test may spoil."""
    return Path(shutil.copytree(made.entry, tmp_path / "entries" / made.entry.name))


@pytest.fixture
def checked(tiny_dataset: Path) -> Callable[[Path], EntryReport]:
    """Checks an entry against the tiny data set."""
    return lambda entry: verify_entry(entry, [str(tiny_dataset)])
