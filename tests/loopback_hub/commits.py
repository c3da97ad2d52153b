"""Commits: what goes up by LFS, and one atomic step from a head to the next."""

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.loopback_hub.contents import Contents
from tests.loopback_hub.discussions import open_pull_request
from tests.loopback_hub.errors import ENTRY_NOT_FOUND, HubError
from tests.loopback_hub.repos import (
    Blob,
    HubRepo,
    Snapshot,
    find_commit,
    find_pull_request,
    large_blob,
    new_commit,
    point,
    regular_blob,
)
from tests.loopback_hub.state import HubState, hub_of, json_of, repo_of, user_of
from tests.loopback_hub.users import User, logged_in, require_files, require_push
from tests.loopback_hub.validation import validate_files

MAX_REGULAR_BYTES = 10_000_000
LARGE_SUFFIXES = frozenset(
    {
        ".arrow",
        ".bin",
        ".ckpt",
        ".gz",
        ".h5",
        ".joblib",
        ".model",
        ".msgpack",
        ".npy",
        ".npz",
        ".onnx",
        ".parquet",
        ".pb",
        ".pickle",
        ".pkl",
        ".pt",
        ".pth",
        ".safetensors",
        ".tar",
        ".zip",
        ".zst",
    }
)
"""The more common ones of the Hub's own list."""


@dataclass(slots=True)
class _Request:
    """A commit that is asked for."""

    title: str = ""
    message: str = ""
    parent: str = ""
    additions: dict[str, Blob] = field(default_factory=dict)
    deleted_files: list[str] = field(default_factory=list)
    deleted_folders: list[str] = field(default_factory=list)


async def preupload(request: Request) -> Response:
    """`POST preupload/{revision}`: which files go up by LFS, and what stands there now."""
    hub, repo, revision = hub_of(request), repo_of(request), request.path_params["revision"]
    _pusher(request, repo)
    commit = find_commit(repo, revision)
    body = await json_of(request)
    files = body.get("files")
    if not isinstance(files, list):
        raise HubError(400, '"files" must be a list')
    ignored = _ignored_names(hub, commit, body.get("gitIgnore"))
    answers = []
    for file in files:
        path = str(file["path"])
        is_large = goes_up_by_lfs(path, int(file["size"]), base64.b64decode(file.get("sample", "")))
        there = commit.files.get(path)
        answers.append(
            {
                "path": path,
                "uploadMode": "lfs" if is_large else "regular",
                "shouldIgnore": any(PurePosixPath(path).match(name) for name in ignored),
                # The client skips a file whose hash it finds here: SHA-256 by LFS, git's SHA-1 else.
                **({"oid": there.etag} if there is not None and there.is_large == is_large else {}),
            }
        )
    return JSONResponse({"commitOid": commit.sha, "files": answers})


async def commit(request: Request) -> Response:
    """`POST commit/{revision}`: all of it lands, or nothing."""
    hub, repo, revision = hub_of(request), repo_of(request), request.path_params["revision"]
    user = _pusher(request, repo)
    body = await request.body()
    with hub.lock:
        asked = _parse(body, hub.contents, repo)
        if _creates_pull_request(request):
            base = find_commit(repo, asked.parent or revision)
            landed = _land(hub, repo, base, asked, user)
            number = open_pull_request(repo, asked.title, asked.message, user.name, base, landed).number
            return _answer(hub, repo, landed, f"{hub.endpoint}/{repo.url_path}/discussions/{number}")
        _require_open(repo, revision)
        head = find_commit(repo, revision)
        if asked.parent and not head.sha.startswith(asked.parent):
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        landed = _land(hub, repo, head, asked, user)
        point(repo, revision, landed)
        return _answer(hub, repo, landed, None)


def _answer(hub: HubState, repo: HubRepo, landed: Snapshot, pull_request: str | None) -> Response:
    return JSONResponse(
        {
            "success": True,
            "commitOid": landed.sha,
            "commitUrl": f"{hub.endpoint}/{repo.url_path}/commit/{landed.sha}",
            "hookOutput": "",
            "pullRequestUrl": pull_request,
        }
    )


def _creates_pull_request(request: Request) -> bool:
    return request.query_params.get("create_pr") == "1"


def _pusher(request: Request, repo: HubRepo) -> User:
    """Who may commit what is asked for: anybody who reads the repo may open a pull request."""
    user = user_of(request)
    if _creates_pull_request(request):
        require_files(repo, user, hub_of(request).endpoint)
        return logged_in(user)
    return require_push(repo, user, request.path_params["revision"])


def _require_open(repo: HubRepo, revision: str) -> None:
    pull_request = find_pull_request(repo, revision)
    if pull_request is not None and pull_request.status in ("closed", "merged"):
        raise HubError(403, f"Forbidden: pull request {pull_request.number} is {pull_request.status}")


def goes_up_by_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether a file is large or binary, by its name, its size and its first bytes."""
    return PurePosixPath(path).suffix.lower() in LARGE_SUFFIXES or size > MAX_REGULAR_BYTES or _is_binary(sample)


def _is_binary(sample: bytes) -> bool:
    if b"\0" in sample:
        return True
    try:
        sample.decode()
    except UnicodeDecodeError as cause:
        # A sample may end in the middle of a character.
        return cause.start < len(sample) - 3
    return False


def _ignored_names(hub: HubState, commit: Snapshot, sent: object) -> list[str]:
    """Names of a `.gitignore`, the one that is being sent or the one that is there; no negation, no folders."""
    if not isinstance(sent, str):
        there = commit.files.get(".gitignore")
        sent = hub.contents.read(there.sha256).decode("utf-8", "replace") if there else ""
    return [line.strip() for line in sent.splitlines() if line.strip() and line[0] not in "#!"]


def _parse(body: bytes, contents: Contents, repo: HubRepo) -> _Request:
    asked = _Request()
    for key, value in _operations(body):
        if key == "header":
            asked.title = str(value["summary"])
            asked.message = str(value.get("description", ""))
            asked.parent = str(value.get("parentCommit") or "")
        elif key == "file":
            path = _checked(value["path"])
            asked.additions[path] = regular_blob(contents, _decoded(path, value))
        elif key == "lfsFile":
            path = _checked(value["path"])
            asked.additions[path] = _uploaded(path, value, contents, repo)
        elif key == "deletedFile":
            asked.deleted_files.append(_checked(value["path"]))
        elif key == "deletedFolder":
            asked.deleted_folders.append(_checked(str(value["path"]).rstrip("/")))
        else:
            raise HubError(400, f"unknown operation {key!r} in a commit")
    if not asked.title:
        raise HubError(400, "a commit needs a summary")
    return asked


def _operations(body: bytes) -> Iterator[tuple[str, dict[str, object]]]:
    for line in body.splitlines():
        try:
            operation = json.loads(line)
            yield operation["key"], operation["value"]
        except (ValueError, KeyError, TypeError) as cause:
            raise HubError(400, f"a line of the commit cannot be read: {cause}") from cause


def _checked(path: object) -> str:
    parts = str(path).split("/")
    if not all(parts) or {".", "..", ".git"} & set(parts):
        raise HubError(400, f"invalid path in a commit: {path!r}")
    return str(path)


def _decoded(path: str, value: dict[str, object]) -> bytes:
    try:
        text = str(value["content"])
        content = base64.b64decode(text, validate=True) if value.get("encoding") == "base64" else text.encode()
    except binascii.Error as cause:
        raise HubError(400, f"{path}: its content is not base64: {cause}") from cause
    if len(content) > MAX_REGULAR_BYTES:
        raise HubError(400, f"{path} has {len(content)} bytes; files over {MAX_REGULAR_BYTES} bytes go up by LFS")
    return content


def _uploaded(path: str, value: dict[str, object], contents: Contents, repo: HubRepo) -> Blob:
    sha256 = str(value["oid"])
    if sha256 not in repo.large_files:
        raise HubError(400, f"{path}: its LFS pointer pointed to a file that does not exist, {sha256}")
    size = contents.size(sha256)
    if value.get("size", size) != size:
        raise HubError(400, f"{path}: its LFS pointer says {value['size']} bytes, the file has {size}")
    return large_blob(sha256, size)


def _land(hub: HubState, repo: HubRepo, parent: Snapshot, asked: _Request, user: User) -> Snapshot:
    """Makes the commit; nothing points to it yet."""
    files = dict(parent.files)
    for path in asked.deleted_files:
        if files.pop(path, None) is None:
            raise HubError(404, f"A file with this name doesn't exist: {path}", ENTRY_NOT_FOUND)
    for folder in asked.deleted_folders:
        inside = [path for path in files if path.startswith(f"{folder}/")]
        if not inside:
            raise HubError(404, f"A folder with this name doesn't exist: {folder}", ENTRY_NOT_FOUND)
        for path in inside:
            del files[path]
    files.update(asked.additions)
    validate_files(repo.kind, {path: hub.contents.read(blob.sha256) for path, blob in _small(asked.additions)})
    return new_commit(repo, parent, files, author=user.name, title=asked.title, message=asked.message)


def _small(additions: dict[str, Blob]) -> list[tuple[str, Blob]]:
    return [(path, blob) for path, blob in additions.items() if not blob.is_large]
