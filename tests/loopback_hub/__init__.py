"""A Hub on this machine that the unmodified clients talk to: for tests and trials, not a product."""

from tests.loopback_hub.faults import Fault
from tests.loopback_hub.hub import Commit, LoopbackHub
from tests.loopback_hub.state import HubState

__all__ = ["Commit", "Fault", "HubState", "LoopbackHub"]
