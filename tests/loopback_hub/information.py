"""What the Hub tells about repos: one by one, and in lists."""

from collections.abc import Callable
from typing import get_args

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.loopback_hub.card import card_data, card_tags
from tests.loopback_hub.errors import HubError
from tests.loopback_hub.repos import MAIN, Blob, HubRepo, Kind, Snapshot, find_commit
from tests.loopback_hub.results import eval_results, has_eval_yaml
from tests.loopback_hub.state import HubState, hub_of, repo_of, user_of
from tests.loopback_hub.timestamps import stamp
from tests.loopback_hub.users import may_see

_BASIC = ("createdAt", "downloads", "likes", "private", "tags")
_USUAL = (*_BASIC, "author", "sha", "lastModified", "gated", "disabled", "siblings", "cardData", "usedStorage")
_OF_MODELS = ("library_name", "pipeline_tag", "model-index")
_ABSENT = object()


async def show(request: Request) -> Response:
    """`GET /api/{kind}s/{id}[/revision/{revision}]`."""
    hub, repo = hub_of(request), repo_of(request)
    commit = find_commit(repo, request.path_params.get("revision", MAIN))
    asked = _expanded(request, repo.kind)
    with_blobs = request.query_params.get("blobs", "false") in ("true", "1")
    return JSONResponse(describe(hub, repo, commit, asked or _usual(repo.kind), with_blobs=with_blobs))


def _usual(kind: Kind) -> tuple[str, ...]:
    return (*_USUAL, *_OF_MODELS) if kind == "model" else _USUAL


def _expanded(request: Request, kind: Kind) -> list[str]:
    asked = [*request.query_params.getlist("expand"), *request.query_params.getlist("expand[]")]
    unknown = sorted(set(asked) - _expandable(kind))
    if unknown:
        raise HubError(400, f'"expand" must be among {", ".join(sorted(_expandable(kind)))}; got {", ".join(unknown)}')
    return asked


def _expandable(kind: Kind) -> set[str]:
    """What may be asked for; the client keeps the list. What is not told here is left out of the answer."""
    from huggingface_hub import hf_api

    properties = {
        "model": hf_api.ExpandModelProperty_T,
        "dataset": hf_api.ExpandDatasetProperty_T,
        "space": hf_api.ExpandSpaceProperty_T,
    }
    return set(get_args(properties[kind]))


def describe(
    hub: HubState, repo: HubRepo, commit: Snapshot, fields: tuple[str, ...] | list[str], *, with_blobs: bool = False
) -> dict[str, object]:
    """What is told about a repo at a commit.

    Args:
        hub: The Hub.
        repo: The repo.
        commit: The commit.
        fields: What is asked for, by the names of the API.
        with_blobs: Whether sizes and hashes of the files are told.
    """
    card = card_data(hub.contents, commit.files)
    told: dict[str, Callable[[], object]] = {
        "author": lambda: repo.namespace,
        "cardData": lambda: card or _ABSENT,
        "createdAt": lambda: stamp(repo.created),
        "disabled": lambda: False,
        "downloads": lambda: 0,
        "evalResults": lambda: eval_results(hub, repo),
        "gated": lambda: repo.gated,
        "lastModified": lambda: stamp(commit.date),
        "likes": lambda: 0,
        "library_name": lambda: card.get("library_name", _ABSENT),
        "model-index": lambda: _model_index(repo, card),
        "pipeline_tag": lambda: card.get("pipeline_tag", _ABSENT),
        "private": lambda: repo.private,
        "sdk": lambda: card.get("sdk", _ABSENT),
        "sha": lambda: commit.sha,
        "siblings": lambda: [_sibling(path, blob, with_blobs) for path, blob in sorted(commit.files.items())],
        "tags": lambda: tags(hub, repo, commit),
        "usedStorage": lambda: sum(blob.size for blob in commit.files.values()),
    }
    values = {field: told[field]() for field in fields if field in told}
    identity = {"_id": _object_id(repo), "id": repo.id} | ({"modelId": repo.id} if repo.kind == "model" else {})
    return identity | {field: value for field, value in values.items() if value is not _ABSENT}


def _object_id(repo: HubRepo) -> str:
    return f"{int(repo.created.timestamp() * 1e6):024x}"


def _model_index(repo: HubRepo, card: dict[str, object]) -> object:
    index = card.get("model-index", _ABSENT)
    return index if repo.kind == "model" else _ABSENT


def _sibling(path: str, blob: Blob, with_blobs: bool) -> dict[str, object]:
    if not with_blobs:
        return {"rfilename": path}
    lfs = {"lfs": {"size": blob.size, "sha256": blob.sha256, "pointerSize": blob.pointer_size}} if blob.is_large else {}
    return {"rfilename": path, "size": blob.size, "blobId": blob.oid} | lfs


def tags(hub: HubState, repo: HubRepo, commit: Snapshot) -> list[str]:
    """The tags that a repo is found by: of its card, and those that the Hub gives."""
    found = card_tags(repo.kind, card_data(hub.contents, commit.files))
    if repo.kind == "model" and any(path.startswith(".eval_results/") for path in commit.files):
        found.append("eval-results")
    if repo.kind == "dataset" and repo.id in hub.benchmarks and has_eval_yaml(commit):
        found.append("benchmark:official")
    return found


async def list_repos(request: Request) -> Response:
    """`GET /api/{kind}s`, by filter (tags), search (in the id) and author."""
    hub, user, query = hub_of(request), user_of(request), request.query_params
    kind: Kind = request.path_params["kind"]
    fields = _expanded(request, kind) or _listed_fields(request, kind)
    found = []
    for repo in list(hub.repos.values()):
        if repo.kind != kind or not may_see(repo, user):
            continue
        commit = find_commit(repo, MAIN)
        if (
            set(query.getlist("filter")) <= set(tags(hub, repo, commit))
            and all(part.lower() in repo.id.lower() for part in query.getlist("search"))
            and query.get("author", repo.namespace) == repo.namespace
        ):
            found.append((repo, commit))
    found.sort(key=lambda pair: pair[0].created, reverse=True)
    if query.get("sort") == "lastModified":
        found.sort(key=lambda pair: pair[1].date, reverse=True)
    told = [describe(hub, repo, commit, fields) for repo, commit in found]
    return JSONResponse(told[: int(query.get("limit", len(told)))])


def _listed_fields(request: Request, kind: Kind) -> tuple[str, ...]:
    full = request.query_params.get("full", "false") == "true"
    basic = _usual(kind) if full else (*_BASIC, "gated", *_OF_MODELS[:2])
    return (*basic, "cardData") if request.query_params.get("cardData", "false") == "true" else basic
