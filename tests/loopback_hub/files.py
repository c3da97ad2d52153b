"""The files of a commit: listed, and downloaded."""

import hashlib
import re
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.loopback_hub.errors import ENTRY_NOT_FOUND, HubError, entry_not_found
from tests.loopback_hub.repos import Blob, HubRepo, Snapshot, find_commit, history
from tests.loopback_hub.state import hub_of, repo_of, user_of
from tests.loopback_hub.timestamps import stamp
from tests.loopback_hub.users import require_files

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MAX_COMMITS = 1000


async def tree(request: Request) -> Response:
    """`GET tree/{revision}[/{path}]`: files and folders, those below too with `recursive`."""
    repo, revision = repo_of(request), request.path_params["revision"]
    folder = request.path_params.get("path", "").strip("/")
    commit = find_commit(repo, revision)
    inside = f"{folder}/" if folder else ""
    below = [path for path in commit.files if path.startswith(inside)]
    if folder and not below:
        raise entry_not_found(folder, revision)
    expand, recursive = _flag(request, "expand"), _flag(request, "recursive")
    paths = {path for path in below if recursive or "/" not in path[len(inside) :]}
    folders = {found for path in below for found in _folders(path) if found.startswith(inside)}
    paths |= {found for found in folders if recursive or "/" not in found[len(inside) :]}
    return JSONResponse([_entry(repo, commit, path, expand=expand) for path in sorted(paths)])


def _flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "false").lower() in ("true", "1")


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _entry(repo: HubRepo, commit: Snapshot, path: str, *, expand: bool) -> dict[str, object]:
    blob = commit.files.get(path)
    if blob is None:
        inside = sorted((name, file.oid) for name, file in commit.files.items() if name.startswith(f"{path}/"))
        told: dict[str, object] = {
            "type": "directory",
            "oid": hashlib.sha1(repr(inside).encode()).hexdigest(),
            "size": 0,
            "path": path,
        }
    else:
        lfs = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
        told = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path} | (
            {"lfs": lfs} if blob.is_large else {}
        )
    if expand:
        last = _last_commit(repo, commit, path)
        told["lastCommit"] = {"id": last.sha, "title": last.title, "date": stamp(last.date)}
    return told


def _last_commit(repo: HubRepo, commit: Snapshot, path: str) -> Snapshot:
    """The commit that last changed a file, or anything in a folder."""

    def of(snapshot: Snapshot) -> dict[str, Blob]:
        return {name: blob for name, blob in snapshot.files.items() if name == path or name.startswith(f"{path}/")}

    now, found = of(commit), commit
    for older in history(repo, commit.sha):
        if of(older) != now:
            break
        found = older
    return found


async def paths_info(request: Request) -> Response:
    """`POST paths-info/{revision}`, a form: those of the paths that are there."""
    repo = repo_of(request)
    commit = find_commit(repo, request.path_params["revision"])
    form = parse_qs((await request.body()).decode())
    expand = form.get("expand", ["false"])[0].lower() in ("true", "1")
    there = {*commit.files, *(folder for path in commit.files for folder in _folders(path))}
    asked = [path.strip("/") for path in form.get("paths", [])]
    return JSONResponse([_entry(repo, commit, path, expand=expand) for path in asked if path in there])


async def refs(request: Request) -> Response:
    """`GET refs`: branches and tags, and pull requests where they are asked for."""
    repo = repo_of(request)
    told = {
        "branches": _refs("refs/heads/", repo.branches),
        "converts": [],
        "tags": _refs("refs/tags/", repo.tags),
    }
    if _flag(request, "include_prs"):
        heads = {str(found.number): found.head for found in repo.discussions.values() if found.is_pull_request}
        told["pullRequests"] = _refs("refs/pr/", heads)
    return JSONResponse(told)


def _refs(prefix: str, commits: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "ref": f"{prefix}{name}", "targetCommit": sha} for name, sha in commits.items()]


async def commits(request: Request) -> Response:
    """`GET commits/{revision}`, newest first."""
    repo = repo_of(request)
    found = history(repo, request.path_params["revision"])
    return JSONResponse(
        [
            {
                "id": commit.sha,
                "title": commit.title,
                "message": commit.message,
                "authors": [{"user": commit.author}],
                "date": stamp(commit.date),
            }
            for commit in found[:_MAX_COMMITS]
        ],
        headers={"X-Total-Count": str(len(found))},
    )


async def resolve(request: Request) -> Response:
    """`HEAD` and `GET {id}/resolve/{revision}/{path}`: a file, or the part of it that `Range` names."""
    hub, repo = hub_of(request), repo_of(request)
    require_files(repo, user_of(request), hub.endpoint)
    revision, path = request.path_params["revision"], request.path_params["path"]
    commit = find_commit(repo, revision)
    blob = commit.files.get(path)
    if blob is None:
        # The client remembers by the commit that a file is not there.
        raise HubError(404, "Entry not found", ENTRY_NOT_FOUND, {"X-Repo-Commit": commit.sha})
    headers = _file_headers(commit, blob)
    if request.method == "HEAD":
        return Response(headers=headers | {"Content-Length": str(blob.size)})
    start, stop = _range(request.headers.get("range"), blob.size)
    headers["Content-Length"] = str(stop - start)
    status = 200
    if request.headers.get("range"):
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{blob.size}"
        status = 206
    chunks = hub.contents.chunks(blob.sha256, start, stop)
    return StreamingResponse(chunks, status, headers, "application/octet-stream")


def _file_headers(commit: Snapshot, blob: Blob) -> dict[str, str]:
    large = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)} if blob.is_large else {}
    return {
        "X-Repo-Commit": commit.sha,
        "ETag": f'"{blob.etag}"',
        "Accept-Ranges": "bytes",
        **large,
    }


def _range(header: str | None, size: int) -> tuple[int, int]:
    """First byte, and the byte after the last, of what is asked for."""
    if not header:
        return 0, size
    found = _RANGE.fullmatch(header.replace(" ", ""))
    first, last = found.groups() if found else ("", "")
    if first:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
    else:
        start, stop = max(size - int(last or 0), 0), size
    if start >= stop:
        raise HubError(
            416, f"the range {header!r} does not fit {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, stop
