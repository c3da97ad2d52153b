"""Repos made, removed and changed as a whole: creation, visibility, branches, tags."""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.loopback_hub.commits import LARGE_SUFFIXES
from tests.loopback_hub.errors import HubError, revision_not_found
from tests.loopback_hub.repos import MAIN, PLURALS, HubRepo, Kind, find_commit, new_commit, regular_blob
from tests.loopback_hub.state import HubState, hub_of, json_of, repo_of, user_of
from tests.loopback_hub.users import (
    User,
    logged_in,
    may_see,
    repo_not_found,
    require_files,
    require_push,
    require_write,
)

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?|[A-Za-z0-9]")
_REF_NAME = re.compile(r"(?!/)(?!.*(?:\.\.|//|@\{|\\))[^\s~^:?*\[\x00-\x1f]+(?<![/.])")


def create(hub: HubState, kind: Kind, repo_id: str, author: str) -> HubRepo:
    """A new repo with the first commit that the Hub makes in it."""
    repo = HubRepo(kind, repo_id)
    lines = "".join(f"*{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in sorted(LARGE_SUFFIXES))
    first = {".gitattributes": regular_blob(hub.contents, lines.encode())}
    repo.branches[MAIN] = new_commit(repo, None, first, author=author, title="initial commit").sha
    hub.repos[kind, repo_id] = repo
    return repo


async def create_repo(request: Request) -> Response:
    """`POST /api/repos/create`; 409 with the address where there is one already."""
    hub, user = hub_of(request), logged_in(user_of(request))
    body = await json_of(request)
    kind, repo_id = _named(body, user)
    url = f"{hub.endpoint}/{HubRepo(kind, repo_id).url_path}"
    namespace = repo_id.split("/")[0]
    if user.role_in(namespace) not in ("write", "admin"):
        message = f'You don\'t have the rights to create a {kind} under the namespace "{namespace}"'
        raise HubError(403, message)
    with hub.lock:
        if (kind, repo_id) in hub.repos:
            return JSONResponse({"error": f"You already created this {kind} repo", "url": url}, 409)
        repo = create(hub, kind, repo_id, user.name)
        repo.private = body.get("visibility") == "private" or body.get("private") is True
    return JSONResponse({"url": url, "name": repo_id, "id": repo_id})


async def delete_repo(request: Request) -> Response:
    """`DELETE /api/repos/delete`."""
    hub, user = hub_of(request), logged_in(user_of(request))
    repo = hub.repos.get(_named(await json_of(request), user))
    if repo is None or not may_see(repo, user):
        raise repo_not_found(user)
    require_write(repo, user)
    with hub.lock:
        del hub.repos[repo.kind, repo.id]
    return Response(status_code=200)


async def move_repo(request: Request) -> Response:
    """`POST /api/repos/move`: another name for a repo; addresses with the old one lead to the new one from then on."""
    hub, user = hub_of(request), logged_in(user_of(request))
    body = await json_of(request)
    kind, old, new = body.get("type") or "model", str(body.get("fromRepo")), str(body.get("toRepo"))
    if kind not in PLURALS:
        raise HubError(400, f'"type" must be one of {", ".join(PLURALS)}; got {kind!r}')
    repo = hub.repos.get((kind, old))
    if repo is None or not may_see(repo, user):
        raise repo_not_found(user)
    require_write(repo, user)
    if (kind, new) in hub.repos:
        raise HubError(409, f"{new} is taken")
    rename(hub, repo, new)
    return Response(status_code=200)


def rename(hub: HubState, repo: HubRepo, new: str) -> None:
    """Gives a repo another id; the old one leads to it."""
    with hub.lock:
        old = repo.id
        del hub.repos[repo.kind, old]
        repo.id = new
        hub.repos[repo.kind, new] = repo
        for key, now in hub.moved.items():
            if now == old and key[0] == repo.kind:
                hub.moved[key] = new
        hub.moved[repo.kind, old] = new
        hub.moved.pop((repo.kind, new), None)
        if repo.kind == "dataset" and old in hub.benchmarks:
            hub.benchmarks = hub.benchmarks - {old} | {new}


def _named(body: dict[str, object], user: User) -> tuple[Kind, str]:
    kind = body.get("type") or "model"
    name = str(body.get("name", ""))
    if kind not in PLURALS:
        raise HubError(400, f'"type" must be one of {", ".join(PLURALS)}; got {kind!r}')
    if not _NAME.fullmatch(name) or "--" in name or ".." in name or name.endswith(".git"):
        raise HubError(400, f'"name" {name!r} is no name for a repo: letters, digits, -, _ and . only, 96 at most')
    return kind, f"{body.get('organization') or user.name}/{name}"


async def change_settings(request: Request) -> Response:
    """`PUT settings`: `visibility` and `gated`."""
    hub, repo = hub_of(request), repo_of(request)
    require_write(repo, user_of(request))
    body = await json_of(request)
    visibility, gated = body.get("visibility"), body.get("gated", repo.gated)
    if visibility not in (None, "public", "private") or gated not in ("auto", "manual", False):
        raise HubError(400, f"invalid settings: visibility {visibility!r}, gated {gated!r}")
    with hub.lock:
        repo.private = body.get("private", repo.private) is True if visibility is None else visibility == "private"
        repo.gated = gated
    return JSONResponse({"private": repo.private, "gated": repo.gated})


async def auth_check(request: Request) -> Response:
    """`GET auth-check`: whether the user may read the files."""
    require_files(repo_of(request), user_of(request), hub_of(request).endpoint)
    return JSONResponse({})


async def auth_check_write(request: Request) -> Response:
    """`GET auth-check/write`: whether the user may write."""
    require_push(repo_of(request), user_of(request), MAIN)
    return JSONResponse({})


async def create_branch(request: Request) -> Response:
    """`POST branch/{name}`, from main or the revision that `startingPoint` names."""
    hub, repo, name = hub_of(request), repo_of(request), request.path_params["revision"]
    require_write(repo, user_of(request))
    body = await json_of(request) if await request.body() else {}
    _require_ref_name(name)
    with hub.lock:
        if name in repo.branches:
            raise HubError(409, f"Reference already exists: refs/heads/{name}")
        repo.branches[name] = find_commit(repo, str(body.get("startingPoint") or MAIN)).sha
    return JSONResponse({})


async def delete_branch(request: Request) -> Response:
    """`DELETE branch/{name}`; main stays."""
    hub, repo, name = hub_of(request), repo_of(request), request.path_params["revision"]
    require_write(repo, user_of(request))
    if name == MAIN:
        raise HubError(403, f"the branch {MAIN} cannot be deleted")
    with hub.lock:
        if repo.branches.pop(name, None) is None:
            raise revision_not_found(name)
    return JSONResponse({})


async def create_tag(request: Request) -> Response:
    """`POST tag/{revision}`: a name for a commit; 409 where the name is taken."""
    hub, repo = hub_of(request), repo_of(request)
    require_write(repo, user_of(request))
    tag = str((await json_of(request)).get("tag", ""))
    _require_ref_name(tag)
    with hub.lock:
        commit = find_commit(repo, request.path_params["revision"])
        if tag in repo.tags:
            raise HubError(409, f"Tag {tag} already exists")
        repo.tags[tag] = commit.sha
    return JSONResponse({})


async def delete_tag(request: Request) -> Response:
    """`DELETE tag/{name}`."""
    hub, repo, name = hub_of(request), repo_of(request), request.path_params["revision"]
    require_write(repo, user_of(request))
    with hub.lock:
        if repo.tags.pop(name, None) is None:
            raise revision_not_found(name)
    return JSONResponse({})


def _require_ref_name(name: str) -> None:
    if name.startswith("refs/") or not _REF_NAME.fullmatch(name):
        raise HubError(400, f"Invalid reference for a branch or tag: {name!r}")
