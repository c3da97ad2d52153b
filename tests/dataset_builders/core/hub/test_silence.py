"""A Hub that takes a call and never answers."""

import pytest
from huggingface_hub import HfApi, close_session, get_session

from dataset_builders.core.errors import SetupError
from dataset_builders.core.hub import silence
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.core.hub.silence import limit_silence
from tests.loopback_hub import Fault, LoopbackHub


@pytest.fixture(autouse=True)
def _fresh_client() -> None:
    close_session()


def test_a_call_without_a_limit_of_its_own_ends(
    hub: LoopbackHub, no_waiting: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`whoami` names none, and neither does a commit."""
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.2)
    hub.add_user("ann")
    hub.log_in("ann")
    hub.order(Fault(path="/api/", delay=3600.0, times=99))
    with (
        pytest.raises(SetupError, match="cannot be fetched from the Hub: timed out"),
        explained(Repo("org/a", "model")),
    ):
        retried(lambda: HfApi().whoami())
    assert no_waiting == [1, 2, 4, 8]
    close_session()


def test_limits_of_the_user_stay() -> None:
    """Those of a client that the user set up."""
    get_session().timeout = 7.0
    limit_silence()
    assert get_session().timeout.read == 7.0
    close_session()
    limit_silence()
    assert get_session().timeout.read == silence.SILENCE_SECONDS
