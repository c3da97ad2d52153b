import pytest

from tests.harness.method.four_tasks import train_method, write_four_tasks
from tests.packages import need


@pytest.fixture(scope="session")
def four_tasks(tmp_path_factory):
    """A small data set of all four tasks; do not write to it."""
    return write_four_tasks(tmp_path_factory.mktemp("four") / "data")


@pytest.fixture(scope="session")
def trained(four_tasks, tmp_path_factory):
    """A method of four tasks and two seeds; do not write to it."""
    need("graph_pes", "the networks need graph-pes")
    return train_method(four_tasks, tmp_path_factory.mktemp("trained") / "painn")
