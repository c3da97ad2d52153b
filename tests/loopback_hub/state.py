"""All that a Hub knows, and how a request finds its part of it."""

import threading
from dataclasses import dataclass, field

from starlette.requests import Request

from tests.loopback_hub.contents import Contents
from tests.loopback_hub.errors import HubError
from tests.loopback_hub.faults import FaultQueue, LoggedRequest
from tests.loopback_hub.repos import HubRepo, Kind
from tests.loopback_hub.users import User, caller, may_see, repo_not_found


@dataclass(slots=True)
class HubState:
    """The Hub.

    Attributes:
        endpoint: Its address, such as `http://127.0.0.1:8000`.
        contents: Bytes of all files.
        repos: By kind and id.
        users: By name.
        moved: Id of today by kind and earlier id, of repos that were renamed.
        benchmarks: Ids of the data sets that may have a leaderboard.
        tickets: What an upload ticket allows: the repo and the SHA-256 and size of the content.
        faults: What is to go wrong.
        log: Requests so far.
        lock: Held while anything is changed; tests change the Hub from their own thread.
    """

    endpoint: str
    contents: Contents = field(default_factory=Contents)
    repos: dict[tuple[Kind, str], HubRepo] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    moved: dict[tuple[Kind, str], str] = field(default_factory=dict)
    benchmarks: set[str] = field(default_factory=set)
    tickets: dict[str, tuple[HubRepo, str, int]] = field(default_factory=dict)
    faults: FaultQueue = field(default_factory=FaultQueue)
    log: list[LoggedRequest] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def name_of(self, authorization: str) -> str:
        """Name of the user behind an `Authorization` header, for the log; never the token."""
        try:
            user = caller(self.users, authorization)
        except HubError:
            return "?"
        return user.name if user else ""

    def is_org(self, namespace: str) -> bool:
        """Whether a namespace belongs to an organisation."""
        return any(namespace in user.orgs for user in self.users.values())


def hub_of(request: Request) -> HubState:
    """The Hub that a request came to."""
    state = request.app.state.hub
    assert isinstance(state, HubState)
    return state


def user_of(request: Request) -> User | None:
    """Who sent a request; `None` for somebody without a token.

    Raises:
        HubError: If the token is nobody's (401).
    """
    return caller(hub_of(request).users, request.headers.get("authorization", ""))


def repo_of(request: Request) -> HubRepo:
    """The repo that a request is about.

    Raises:
        HubError: If there is none, or the user may not know of it (404, or 401 without a login; RepoNotFound); if it
            was renamed or is spelled in another case (307, to the same address under its name of today).
    """
    user, hub = user_of(request), hub_of(request)
    parts = request.path_params
    kind, repo_id = parts.get("kind", "model"), f"{parts['namespace']}/{parts['name']}"
    repo = hub.repos.get((kind, repo_id))
    now = hub.moved.get((kind, repo_id)) or _in_its_case(hub, kind, repo_id)
    if repo is None and now is not None and (there := hub.repos.get((kind, now))) and may_see(there, user):
        raw = request.scope["raw_path"].decode("ascii").replace(repo_id, now, 1)
        query = f"?{request.url.query}" if request.url.query else ""
        raise HubError(307, f"Temporary Redirect. Redirecting to {raw}", headers={"Location": raw + query})
    if repo is None or not may_see(repo, user):
        raise repo_not_found(user)
    return repo


def _in_its_case(hub: HubState, kind: Kind, repo_id: str) -> str | None:
    """The id that differs in the case of its letters alone, of which the Hub keeps one."""
    return next((name for each, name in hub.repos if each == kind and name.lower() == repo_id.lower()), None)


async def json_of(request: Request) -> dict[str, object]:
    """The JSON object that a request carries.

    Raises:
        HubError: If it carries something else (400).
    """
    try:
        body = await request.json()
    except ValueError as cause:
        raise HubError(400, f"the body is not JSON: {cause}") from cause
    if not isinstance(body, dict):
        raise HubError(400, "the body must be a JSON object")
    return body
