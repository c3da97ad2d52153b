"""What tests of the contract share: molecules, and what the potential of a module predicts for them."""

import pytest

from harness.core.batch import Prediction, StructureBatch
from harness.core.potential import Potential
from tests.harness.potentials.molecules import molecules


@pytest.fixture(scope="session")
def slow_tests_run(request: pytest.FixtureRequest) -> bool:
    """Whether tests marked slow were selected, so that models that only they use are needed."""
    return any(item.get_closest_marker("slow") for item in request.session.items)


@pytest.fixture(scope="module")
def batch() -> StructureBatch:
    """Molecules of the four tasks."""
    return molecules()


@pytest.fixture(scope="module")
def prediction(potential: Potential, batch: StructureBatch) -> Prediction:
    """What the potential of the module predicts for them."""
    return potential.compute(batch)
