"""Large files: the LFS batch call, the upload itself, and its check."""

import hashlib
import re
import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.loopback_hub.errors import HubError
from tests.loopback_hub.repos import PLURALS, HubRepo
from tests.loopback_hub.state import HubState, hub_of, json_of, repo_of, user_of
from tests.loopback_hub.users import logged_in, may_write, require_files, require_push

_SHA256 = re.compile(r"[0-9a-f]{64}")


async def batch(request: Request) -> Response:
    """`POST {id}.git/info/lfs/objects/batch`: where to send each content; nowhere if it is there already."""
    hub, repo = hub_of(request), repo_of(request)
    body = await json_of(request)
    _require_upload(request, repo, body.get("ref"))
    if body.get("operation") != "upload" or not isinstance(body.get("objects"), list):
        raise HubError(400, "an LFS batch must be an upload of a list of objects")
    answers = [_answer(hub, repo, item) for item in body["objects"]]  # type: ignore[attr-defined]
    return JSONResponse({"transfer": "basic", "objects": answers}, media_type="application/vnd.git-lfs+json")


def _require_upload(request: Request, repo: HubRepo, ref: object) -> None:
    """Writers may upload; others where a pull request takes it, which is when no ref is named, or the ref of theirs."""
    user = user_of(request)
    if isinstance(ref, dict):
        require_push(repo, user, str(ref.get("name")))
    elif not may_write(repo, logged_in(user)):
        require_files(repo, user, hub_of(request).endpoint)


def _answer(hub: HubState, repo: HubRepo, item: dict[str, object]) -> dict[str, object]:
    sha256, size = item.get("oid"), item.get("size")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256) or not isinstance(size, int) or size < 1:
        return {"oid": str(sha256), "size": size if isinstance(size, int) else 0} | {
            "error": {"code": 422, "message": "an object needs a SHA-256 and a size"}
        }
    if sha256 in repo.large_files:
        return {"oid": sha256, "size": size}
    # The client sends no token along with the content, so the address itself must allow it.
    ticket = secrets.token_urlsafe(16)
    hub.tickets[ticket] = (repo, sha256, size)
    address = f"{hub.endpoint}/lfs/{PLURALS[repo.kind]}/{repo.id}/{sha256}"
    return {
        "oid": sha256,
        "size": size,
        "authenticated": True,
        "actions": {
            "upload": {"href": f"{address}?ticket={ticket}", "header": {}},
            "verify": {"href": f"{address}/verify", "header": {}},
        },
    }


async def upload(request: Request) -> Response:
    """`PUT lfs/{kind}/{id}/{sha256}`: takes a content whose hash and size are as announced."""
    hub, oid = hub_of(request), request.path_params["oid"]
    repo, sha256, size = hub.tickets.get(request.query_params.get("ticket", ""), (None, "", 0))
    if repo is None or sha256 != oid:
        raise HubError(403, "this address takes no upload; ask for a new one with an LFS batch call")
    content = await request.body()
    if len(content) != size:
        raise HubError(400, f"{size} bytes were announced for {oid}, {len(content)} came")
    seen = hashlib.sha256(content).hexdigest()
    if seen != oid:
        raise HubError(400, f"the content has the SHA-256 {seen}, {oid} was announced")
    with hub.lock:
        hub.contents.add(content)
        repo.large_files.add(oid)
    return Response(status_code=200)


async def verify(request: Request) -> Response:
    """`POST lfs/{kind}/{id}/{sha256}/verify`: whether the content is there, in the size that the client thinks."""
    hub, repo, oid = hub_of(request), repo_of(request), request.path_params["oid"]
    logged_in(user_of(request))
    body = await json_of(request)
    if oid not in repo.large_files:
        raise HubError(404, f"no content with the SHA-256 {oid} was uploaded to {repo.id}")
    if body.get("size") != hub.contents.size(oid):
        raise HubError(400, f"{oid} has {hub.contents.size(oid)} bytes, not {body.get('size')}")
    return JSONResponse({"success": True})
