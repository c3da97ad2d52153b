"""The user who is logged in to the Hub, and the repos to which they may commit directly."""

from dataclasses import dataclass
from typing import Final

from dataset_builders.core.hub.access import require_login
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried

_WRITING_ROLES: Final = frozenset({"admin", "write"})


@dataclass(frozen=True, slots=True)
class User:
    """A user of the Hub.

    Attributes:
        name: User name.
        writable: The user name and the organisations to whose repos they may write.
    """

    name: str
    writable: frozenset[str]

    def owns(self, repo: Repo) -> bool:
        """Whether they may commit to a repo; not for the role `contributor`, which covers only some repos."""
        return repo.id.partition("/")[0] in self.writable


def logged_in_user(about: Repo) -> User:
    """The user whose token is set.

    Args:
        about: What the user is needed for; named in errors of the Hub.

    Raises:
        SetupError: If there is no token, or the Hub does not know it or cannot be reached.
    """
    from huggingface_hub import HfApi

    require_login("pushing")
    with explained(about):
        answer = retried(lambda: HfApi().whoami())
    orgs = {str(org["name"]) for org in answer.get("orgs", []) if org.get("roleInOrg") in _WRITING_ROLES}
    name = str(answer["name"])
    return User(name, frozenset({name, *orgs}))
