"""The Hub's HTTP API, as huggingface_hub 2.4, datasets 5.2 and evaluate 0.4 use it."""

from collections.abc import Awaitable, Callable
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from tests.loopback_hub import commits, discussions, files, information, lfs, results, settings
from tests.loopback_hub.checks import InvalidFileError
from tests.loopback_hub.connections import Connections
from tests.loopback_hub.errors import REPO_NOT_FOUND, HubError, answer_to
from tests.loopback_hub.faults import FrontDoor
from tests.loopback_hub.repos import PLURALS, Kind
from tests.loopback_hub.state import HubState, json_of, repo_of, user_of
from tests.loopback_hub.users import LOGIN_NEEDED, logged_in, repo_not_found
from tests.loopback_hub.validation import validate_readme

_ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH")

_REPO_PATHS = tuple(f"/api/{plural}/" for plural in PLURALS.values())

Handler = Callable[[Request], Awaitable[Response]]


class _KindConvertor(Convertor[Kind]):
    regex = "|".join(PLURALS.values())

    def convert(self, value: str) -> Kind:
        return next(kind for kind, plural in PLURALS.items() if plural == value)

    def to_string(self, value: Kind) -> str:
        return PLURALS[value]


class _SegmentConvertor(Convertor[str]):
    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        raise NotImplementedError


class _RestConvertor(_SegmentConvertor):
    regex = ".*"


register_url_convertor("kind", _KindConvertor())
register_url_convertor("one", _SegmentConvertor())
register_url_convertor("rest", _RestConvertor())


async def whoami(request: Request) -> Response:
    """`GET /api/whoami-v2`."""
    user = logged_in(user_of(request))
    return JSONResponse(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "email": None,
            "emailVerified": True,
            "canPay": False,
            "isPro": False,
            "avatarUrl": "",
            "orgs": [
                {"type": "org", "id": org, "name": org, "fullname": org, "roleInOrg": role, "avatarUrl": ""}
                for org, role in user.orgs.items()
            ],
            "auth": {"type": "access_token", "accessToken": {"displayName": "loopback", "role": "write"}},
        }
    )


async def validate_yaml(request: Request) -> Response:
    """`POST /api/validate-yaml`: the front matter of a README.md, before anything is sent."""
    body = await json_of(request)
    try:
        warnings = validate_readme(body.get("repoType", "model"), str(body.get("content", "")))  # type: ignore[arg-type]
    except InvalidFileError as cause:
        return JSONResponse({"errors": [{"message": cause.message}], "warnings": [], "error": cause.message}, 400)
    return JSONResponse({"errors": [], "warnings": [{"message": text} for text in warnings]})


async def no_repo(request: Request) -> Response:
    """A repo without a namespace: none is kept here."""
    raise repo_not_found(user_of(request))


async def no_page_of_repo(request: Request) -> Response:
    """An end point that is not kept here, of a repo that may be."""
    repo_of(request)
    return await no_page(request)


async def no_page(request: Request) -> Response:
    """Anything else."""
    user_of(request)
    raise HubError(404, "Sorry, we can't find the page you are looking for.")


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    # Over https the client takes every such 401 for a missing repo; over http it needs to be told.
    if error.status == 401 and error.message == LOGIN_NEEDED and request.url.path.startswith(_REPO_PATHS):
        error = HubError(401, error.message, REPO_NOT_FOUND)
    return answer_to(error)


_OF_A_REPO: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", information.show),
    ("GET", "/revision/{revision:one}", information.show),
    ("GET", "/tree/{revision:one}", files.tree),
    ("GET", "/tree/{revision:one}/{path:rest}", files.tree),
    ("GET", "/refs", files.refs),
    ("GET", "/commits/{revision:one}", files.commits),
    ("POST", "/paths-info/{revision:one}", files.paths_info),
    ("POST", "/preupload/{revision:one}", commits.preupload),
    ("POST", "/commit/{revision:one}", commits.commit),
    ("PUT", "/settings", settings.change_settings),
    ("GET", "/auth-check", settings.auth_check),
    ("GET", "/auth-check/write", settings.auth_check_write),
    ("POST", "/branch/{revision:one}", settings.create_branch),
    ("DELETE", "/branch/{revision:one}", settings.delete_branch),
    ("POST", "/tag/{revision:one}", settings.create_tag),
    ("DELETE", "/tag/{revision:one}", settings.delete_tag),
    ("GET", "/discussions", discussions.list_discussions),
    ("POST", "/discussions", discussions.create_discussion),
    ("GET", "/discussions/{number:one}", discussions.show_discussion),
    ("POST", "/discussions/{number:one}/comment", discussions.comment),
    ("POST", "/discussions/{number:one}/status", discussions.change_status),
    ("POST", "/discussions/{number:one}/title", discussions.change_title),
    ("POST", "/discussions/{number:one}/merge", discussions.merge),
    ("GET", "/leaderboard", results.leaderboard),
)


def _routes() -> list[Route]:
    repo = "{namespace:one}/{name:one}"
    kept = "/{kind:kind}/" + repo
    resolve = "/resolve/{revision:one}/{path:rest}"
    batch = ".git/info/lfs/objects/batch"
    large_file = f"/lfs{kept}/{{oid:one}}"
    return [
        Route("/api/whoami-v2", whoami),
        Route("/api/repos/create", settings.create_repo, methods=["POST"]),
        Route("/api/repos/delete", settings.delete_repo, methods=["DELETE"]),
        Route("/api/repos/move", settings.move_repo, methods=["POST"]),
        Route("/api/validate-yaml", validate_yaml, methods=["POST"]),
        Route("/api/{kind:kind}", information.list_repos),
        *(Route(f"/api{kept}{suffix}", handler, methods=[method]) for method, suffix, handler in _OF_A_REPO),
        Route(f"/api{kept}/{{rest:rest}}", no_page_of_repo, methods=_ANY_METHOD),
        Route("/api/{kind:kind}/{rest:rest}", no_repo, methods=_ANY_METHOD),
        Route(large_file, lfs.upload, methods=["PUT"]),
        Route(f"{large_file}/verify", lfs.verify, methods=["POST"]),
        *(Route(f"{place}{batch}", lfs.batch, methods=["POST"]) for place in (kept, f"/{repo}")),
        *(Route(f"{place}{resolve}", files.resolve, methods=["GET", "HEAD"]) for place in (kept, f"/{repo}")),
        Route(f"/{{name:one}}{resolve}", no_repo),
        Route("/{rest:rest}", no_page, methods=_ANY_METHOD),
    ]


def application(hub: HubState, connections: Connections) -> ASGIApp:
    """The Hub as an ASGI application.

    Args:
        hub: What it knows.
        connections: Those of the server that it runs in.
    """
    app = Starlette(routes=_routes(), exception_handlers={HubError: _answer})
    app.state.hub = hub
    return FrontDoor(app, hub.faults, hub.log, hub.name_of, connections)
