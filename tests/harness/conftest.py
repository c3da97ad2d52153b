import shutil
from pathlib import Path

import pytest

from tests.harness.potentials.molecules import saved, small_mace
from tests.harness.small_dataset import write_dataset


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data-set folder of task1 and task4 with a few molecules; do not write to it."""
    return write_dataset(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture
def own_dataset(tiny_dataset: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "own"))


@pytest.fixture(scope="session")
def mace_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mace")
    return saved(small_mace(), tmp_path_factory.mktemp("mace") / "small.model")
