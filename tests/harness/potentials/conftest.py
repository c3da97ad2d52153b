"""Fixtures that the tests of potentials share, made once."""

from pathlib import Path

import pytest

from tests.harness.potentials.molecules import saved, small_mace


@pytest.fixture(scope="session")
def mace_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mace")
    return saved(small_mace(), tmp_path_factory.mktemp("mace") / "small.model")
