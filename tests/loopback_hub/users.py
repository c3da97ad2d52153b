"""Who is asking, and what they may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.loopback_hub.errors import GATED_REPO, REPO_NOT_FOUND, HubError
from tests.loopback_hub.repos import HubRepo, find_pull_request

Role = Literal["read", "write", "admin"]
LOGIN_NEEDED = "Invalid username or password."


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a token.

    Attributes:
        name: Also the namespace of their own repos.
        orgs: Role by name of the organisation.
    """

    name: str
    orgs: Mapping[str, Role] = field(default_factory=dict)

    def role_in(self, namespace: str) -> Role | None:
        """What they may do there; `None` for a stranger."""
        return "admin" if namespace == self.name else self.orgs.get(namespace)


def token_of(name: str) -> str:
    """The token of a user: it guards nothing, the Hub listens on this machine only."""
    return f"hf_loopback_{name}"


def caller(users: Mapping[str, User], authorization: str) -> User | None:
    """The user behind an `Authorization` header; `None` where there is no header.

    Raises:
        HubError: If the token is nobody's (401).
    """
    if not authorization:
        return None
    token = authorization.removeprefix("Bearer ").strip()
    for user in users.values():
        if token == token_of(user.name):
            return user
    # The client tells a wrong token from a missing repo by this very sentence.
    raise HubError(401, "Invalid credentials in Authorization header")


def logged_in(user: User | None) -> User:
    """The user, who must be there.

    Raises:
        HubError: If nobody is logged in (401).
    """
    if user is None:
        raise HubError(401, LOGIN_NEEDED)
    return user


def may_see(repo: HubRepo, user: User | None) -> bool:
    """Whether the repo exists for this user."""
    return not repo.private or (user is not None and user.role_in(repo.namespace) is not None)


def may_write(repo: HubRepo, user: User) -> bool:
    """Whether the user may change the repo."""
    return user.role_in(repo.namespace) in ("write", "admin")


def repo_not_found(user: User | None) -> HubError:
    """A repo that is missing or hidden: the Hub tells strangers apart by the status alone."""
    if user is None:
        return HubError(401, LOGIN_NEEDED, REPO_NOT_FOUND)
    return HubError(404, "Repository not found", REPO_NOT_FOUND)


def require_files(repo: HubRepo, user: User | None, endpoint: str) -> None:
    """Lets pass who may read the files of a repo that they see.

    Raises:
        HubError: If the repo is gated and the user not let in (403, or 401 without a login; GatedRepo).
    """
    if not repo.gated:
        return
    if user is None:
        raise HubError(
            401,
            f"Access to {repo.kind} {repo.id} is restricted. You must have access to it and be authenticated to access "
            "it. Please log in.",
            GATED_REPO,
        )
    if user.role_in(repo.namespace) is None and user.name not in repo.let_in:
        raise HubError(
            403,
            f"Access to {repo.kind} {repo.id} is restricted and you are not in the authorized list. Visit "
            f"{endpoint}/{repo.url_path} to ask for access.",
            GATED_REPO,
        )


def require_write(repo: HubRepo, user: User | None) -> User:
    """Lets pass who may change a repo.

    Raises:
        HubError: Without a login (401), or without the right (403).
    """
    user = logged_in(user)
    if not may_write(repo, user):
        raise HubError(403, f"Forbidden: you must have write access to {repo.id} to do this")
    return user


def require_push(repo: HubRepo, user: User | None, revision: str) -> User:
    """Lets pass who may commit to a revision: writers anywhere, others to pull requests that they opened.

    Raises:
        HubError: Without a login (401), or without the right (403).
    """
    user = logged_in(user)
    pull_request = find_pull_request(repo, revision)
    if may_write(repo, user) or (pull_request is not None and pull_request.author == user.name):
        return user
    raise HubError(403, "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
