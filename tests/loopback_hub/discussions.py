"""Discussions and pull requests."""

import difflib
import re
import secrets
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.loopback_hub.contents import Contents
from tests.loopback_hub.errors import HubError
from tests.loopback_hub.repos import MAIN, Blob, Discussion, HubRepo, Snapshot, changed_paths, find_commit, new_commit
from tests.loopback_hub.state import hub_of, json_of, repo_of, user_of
from tests.loopback_hub.timestamps import stamp
from tests.loopback_hub.users import User, logged_in, may_write, require_files, require_write

PAGE_SIZE = 10
_STATUSES_OF_FILTER = {"open": ("open", "draft"), "closed": ("closed", "merged")}


def open_pull_request(
    repo: HubRepo, title: str, description: str, author: str, base: Snapshot, head: Snapshot
) -> Discussion:
    """Opens a pull request whose commit is made already."""
    opened = _opened(repo, title, description, author, is_pull_request=True, status="open")
    opened.base, opened.head = base.sha, head.sha
    opened.events.append(_event("commit", author, {"subject": head.title, "oid": head.sha}))
    return opened


def _opened(
    repo: HubRepo, title: str, description: str, author: str, *, is_pull_request: bool, status: str
) -> Discussion:
    number = len(repo.discussions) + 1
    opened = Discussion(number, title, author, status, is_pull_request, datetime.now(UTC))
    opened.events.append(_comment(author, description))
    repo.discussions[number] = opened
    return opened


def _event(kind: str, author: str, data: dict[str, object]) -> dict[str, object]:
    return {
        "id": secrets.token_hex(12),
        "type": kind,
        "createdAt": stamp(datetime.now(UTC)),
        "author": {"name": author},
        "data": data,
    }


def _comment(author: str, text: str) -> dict[str, object]:
    now = stamp(datetime.now(UTC))
    latest = {"raw": text, "html": text, "updatedAt": now, "author": {"name": author}}
    return _event("comment", author, {"edited": False, "hidden": False, "latest": latest, "history": []})


def summary(repo: HubRepo, discussion: Discussion) -> dict[str, object]:
    """A discussion as it stands in a list."""
    return {
        "num": discussion.number,
        "title": discussion.title,
        "author": {"name": discussion.author},
        "createdAt": stamp(discussion.date),
        "status": discussion.status,
        "isPullRequest": discussion.is_pull_request,
        "repo": {"name": repo.id, "type": repo.kind},
        "numComments": sum(event["type"] == "comment" for event in discussion.events),
    }


async def list_discussions(request: Request) -> Response:
    """`GET discussions`, by type, status and author, ten a page."""
    repo, query = repo_of(request), request.query_params
    wanted_pull_request = {"discussion": False, "pull_request": True}.get(query.get("type", "all"))
    statuses = _STATUSES_OF_FILTER.get(query.get("status", "all"))
    found = [
        summary(repo, discussion)
        for discussion in reversed(repo.discussions.values())
        if wanted_pull_request in (None, discussion.is_pull_request)
        and (statuses is None or discussion.status in statuses)
        and query.get("author", discussion.author) == discussion.author
    ]
    start = int(query.get("p", "0")) * PAGE_SIZE
    return JSONResponse({"discussions": found[start : start + PAGE_SIZE], "count": len(found), "start": start})


async def create_discussion(request: Request) -> Response:
    """`POST discussions`: a discussion, or a draft of a pull request that starts from main."""
    hub, repo, user = hub_of(request), repo_of(request), logged_in(user_of(request))
    body = await json_of(request)
    title, is_pull_request = str(body.get("title", "")).strip(), bool(body.get("pullRequest"))
    if not 3 <= len(title) <= 200:
        raise HubError(400, f"a title has 3 to 200 characters, {title!r} has {len(title)}")
    if is_pull_request:
        require_files(repo, user, hub.endpoint)
    with hub.lock:
        opened = _opened(
            repo,
            title,
            str(body.get("description", "")),
            user.name,
            is_pull_request=is_pull_request,
            status="draft" if is_pull_request else "open",
        )
        if is_pull_request:
            opened.base = opened.head = find_commit(repo, MAIN).sha
    return JSONResponse({"num": opened.number, "pullRequest": is_pull_request})


def _discussion_of(request: Request, repo: HubRepo) -> Discussion:
    number = request.path_params["number"]
    found = repo.discussions.get(int(number)) if re.fullmatch(r"\d+", number) else None
    if found is None:
        raise HubError(404, f"there is no discussion {number} in {repo.id}")
    return found


async def show_discussion(request: Request) -> Response:
    """`GET discussions/{number}`, with its events, and the diff of a pull request."""
    hub, repo = hub_of(request), repo_of(request)
    discussion = _discussion_of(request, repo)
    details = summary(repo, discussion) | {"events": discussion.events}
    if discussion.is_pull_request:
        merge = {"mergeCommitId": discussion.merge_commit} if discussion.merge_commit else {}
        details |= {
            "changes": {"base": MAIN} | merge,
            "filesWithConflicts": _conflicts(repo, discussion) if discussion.status in ("open", "draft") else [],
            "diff": _diff(hub.contents, repo, discussion),
        }
    return JSONResponse(details)


async def comment(request: Request) -> Response:
    """`POST discussions/{number}/comment`."""
    hub, repo, user = hub_of(request), repo_of(request), logged_in(user_of(request))
    discussion, body = _discussion_of(request, repo), await json_of(request)
    event = _comment(user.name, str(body.get("comment", "")))
    with hub.lock:
        discussion.events.append(event)
    return JSONResponse({"newMessage": event})


async def change_title(request: Request) -> Response:
    """`POST discussions/{number}/title`, by its author or somebody who may write."""
    hub, repo = hub_of(request), repo_of(request)
    discussion = _discussion_of(request, repo)
    user, body = _require_author(request, repo, discussion), await json_of(request)
    title = str(body.get("title", ""))
    event = _event("title-change", user.name, {"from": discussion.title, "to": title})
    with hub.lock:
        discussion.title = title
        discussion.events.append(event)
    return JSONResponse({"newTitle": event})


async def change_status(request: Request) -> Response:
    """`POST discussions/{number}/status`, by its author or somebody who may write."""
    hub, repo = hub_of(request), repo_of(request)
    discussion = _discussion_of(request, repo)
    user, body = _require_author(request, repo, discussion), await json_of(request)
    status = body.get("status")
    if status not in ("open", "closed") or discussion.status == "merged":
        raise HubError(400, f"discussion {discussion.number} is {discussion.status} and cannot become {status!r}")
    event = _event("status-change", user.name, {"status": status})
    with hub.lock:
        if body.get("comment"):
            discussion.events.append(_comment(user.name, str(body["comment"])))
        discussion.status = str(status)
        discussion.events.append(event)
    return JSONResponse({"newStatus": event})


def _require_author(request: Request, repo: HubRepo, discussion: Discussion) -> User:
    user = logged_in(user_of(request))
    if user.name != discussion.author and not may_write(repo, user):
        raise HubError(
            403, f"Forbidden: discussion {discussion.number} is not yours, and you may not write to {repo.id}"
        )
    return user


async def merge(request: Request) -> Response:
    """`POST discussions/{number}/merge`: brings the changes of a pull request to main."""
    hub, repo = hub_of(request), repo_of(request)
    user, discussion = require_write(repo, user_of(request)), _discussion_of(request, repo)
    text = (await json_of(request)).get("comment") if await request.body() else None
    with hub.lock:
        if not discussion.is_pull_request or discussion.status in ("closed", "merged"):
            raise HubError(400, f"discussion {discussion.number} is no open pull request")
        conflicts = _conflicts(repo, discussion)
        if conflicts:
            raise HubError(409, f"pull request {discussion.number} conflicts with {MAIN} in {', '.join(conflicts)}")
        if text:
            discussion.events.append(_comment(user.name, str(text)))
        head = find_commit(repo, MAIN)
        merged = new_commit(
            repo,
            head,
            _merged_files(repo, discussion, head),
            author=user.name,
            title=f"{discussion.title} (#{discussion.number})",
        )
        repo.branches[MAIN] = merged.sha
        discussion.status, discussion.merge_commit = "merged", merged.sha
        event = _event("status-change", user.name, {"status": "merged"})
        discussion.events.append(event)
    return JSONResponse({"newStatus": event})


def _changes(repo: HubRepo, discussion: Discussion) -> dict[str, Blob | None]:
    """What a pull request changes: the file by path, `None` for one that goes."""
    old, new = repo.commits[discussion.base].files, repo.commits[discussion.head].files
    return {path: new.get(path) for path in changed_paths(old, new)}


def _conflicts(repo: HubRepo, discussion: Discussion) -> list[str]:
    base, main = repo.commits[discussion.base].files, find_commit(repo, MAIN).files
    return [
        path
        for path, blob in _changes(repo, discussion).items()
        if main.get(path) != base.get(path) and main.get(path) != blob
    ]


def _merged_files(repo: HubRepo, discussion: Discussion, head: Snapshot) -> dict[str, Blob]:
    changed = dict(head.files)
    for path, blob in _changes(repo, discussion).items():
        if blob is None:
            changed.pop(path, None)
        else:
            changed[path] = blob
    return changed


def _diff(contents: Contents, repo: HubRepo, discussion: Discussion) -> str:
    old = repo.commits[discussion.base].files
    pieces = []
    for path, blob in _changes(repo, discussion).items():
        before, after = _lines(contents, old.get(path)), _lines(contents, blob)
        pieces.append(f"diff --git a/{path} b/{path}\n")
        pieces.extend(difflib.unified_diff(before, after, f"a/{path}", f"b/{path}"))
    return "".join(pieces)


def _lines(contents: Contents, blob: Blob | None) -> list[str]:
    if blob is None:
        return []
    if blob.is_large:
        return [f"oid sha256:{blob.sha256}\n", f"size {blob.size}\n"]
    return contents.read(blob.sha256).decode("utf-8", "replace").splitlines(keepends=True)
