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


def test_a_call_that_asks_for_no_limit_ends(
    hub: LoopbackHub, no_waiting: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`repo_exists` names the limit of its request: none."""
    monkeypatch.setattr(silence, "SILENCE_SECONDS", 0.2)
    hub.order(Fault(path="/api/", delay=3600.0, times=99))
    with (
        pytest.raises(SetupError, match="cannot be fetched from the Hub: timed out"),
        explained(Repo("org/a", "model")),
    ):
        retried(lambda: HfApi().repo_exists("org/a"))
    assert no_waiting == [1, 2, 4, 8]


def test_limits_of_the_user_stay(hub: LoopbackHub) -> None:
    """Those of a request, and those of a client that the user set up; the hook is there once."""
    seen = []
    session = get_session()
    limit_silence()
    limit_silence()
    session.event_hooks["request"].append(lambda request: seen.append(request.extensions["timeout"]["read"]))
    session.get(hub.endpoint)
    session.get(hub.endpoint, timeout=5.0)
    session.timeout = 7.0
    session.get(hub.endpoint)
    assert seen == [silence.SILENCE_SECONDS, 5.0, 7.0]
    assert len(session.event_hooks["request"]) == 3
