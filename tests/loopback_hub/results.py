"""Evaluation results of models: `.eval_results/*.yaml`, and the leaderboards made of them."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.loopback_hub.card import card_data
from tests.loopback_hub.checks import InvalidFileError
from tests.loopback_hub.errors import HubError
from tests.loopback_hub.repos import MAIN, HubRepo, Snapshot, find_commit, history
from tests.loopback_hub.state import HubState, hub_of, repo_of, user_of
from tests.loopback_hub.timestamps import stamp
from tests.loopback_hub.users import may_see
from tests.loopback_hub.validation import EVAL_YAML, RESULTS_FILE, parse_eval_results, parse_eval_yaml


def has_eval_yaml(commit: Snapshot) -> bool:
    """Whether a data set describes itself as a benchmark."""
    return EVAL_YAML in commit.files


def eval_results(hub: HubState, repo: HubRepo) -> list[dict[str, object]]:
    """The results of a model, as `expand=["evalResults"]` tells them: of main, then of open pull requests."""
    main = find_commit(repo, MAIN)
    found = list(_results_of(hub, repo, main, set()))
    seen = {(path, blob.oid) for path, blob in main.files.items()}
    for discussion in repo.discussions.values():
        if discussion.is_pull_request and discussion.status == "open":
            for entry in _results_of(hub, repo, repo.commits[discussion.head], seen):
                found.append(entry | {"pullRequest": discussion.number})
    return found


def _results_of(
    hub: HubState, repo: HubRepo, commit: Snapshot, seen: set[tuple[str, str]]
) -> Iterator[dict[str, object]]:
    for path, blob in sorted(commit.files.items()):
        if not RESULTS_FILE.fullmatch(path) or (path, blob.oid) in seen:
            continue
        try:
            entries = parse_eval_results(path, hub.contents.read(blob.sha256))
        except InvalidFileError as cause:
            yield {"filename": path, "error": cause.message}
            continue
        for entry in entries:
            data = {"date": stamp(_last_change(repo, commit, path).date), **entry}
            yield {"filename": path, "data": data, "verified": False}


def _last_change(repo: HubRepo, commit: Snapshot, path: str) -> Snapshot:
    """The commit that gave a file its content: the default date of a result."""
    found = commit
    for older in history(repo, commit.sha):
        if older.files.get(path) != commit.files[path]:
            break
        found = older
    return found


async def leaderboard(request: Request) -> Response:
    """`GET datasets/{id}/leaderboard`: the models by the first task of the benchmark, best first."""
    hub, repo, user = hub_of(request), repo_of(request), user_of(request)
    commit = find_commit(repo, MAIN)
    if repo.kind != "dataset" or repo.id not in hub.benchmarks or not has_eval_yaml(commit):
        raise HubError(404, f"{repo.id} has no leaderboard: it needs an {EVAL_YAML}, and the Hub's permission")
    benchmark = parse_eval_yaml(hub.contents.read(commit.files[EVAL_YAML].sha256))
    first_task = benchmark["tasks"][0]["id"]  # type: ignore[index]
    with_derived = request.query_params.get("base_model", "true").lower() == "false"
    rows = []
    for model in list(hub.repos.values()):
        if model.kind != "model" or not may_see(model, user):
            continue
        card = card_data(hub.contents, find_commit(model, MAIN).files)
        if "base_model" in card and not with_derived:
            continue
        rows += [_row(hub, model, entry) for entry in eval_results(hub, model) if _is_of(entry, repo.id, first_task)]
    rows.sort(key=lambda row: row["value"], reverse=True)  # type: ignore[arg-type,return-value]
    return JSONResponse([{"rank": rank} | row for rank, row in enumerate(rows, 1)])


def _is_of(entry: dict[str, object], dataset: str, task: str) -> bool:
    data = entry.get("data")
    return isinstance(data, dict) and data["dataset"]["id"] == dataset and data["dataset"]["task_id"] == task


def _row(hub: HubState, model: HubRepo, entry: dict[str, object]) -> dict[str, object]:
    data = entry["data"]
    assert isinstance(data, dict)
    row = {
        "modelId": model.id,
        "value": data["value"],
        "filename": entry["filename"],
        "verified": entry["verified"],
        "author": {
            "type": "org" if hub.is_org(model.namespace) else "user",
            "name": model.namespace,
            "fullname": model.namespace,
            "avatarUrl": "",
        },
    }
    source = data.get("source")
    if source is not None:
        source = {**source, "isExternal": not str(source.get("url", "")).startswith(hub.endpoint)}
    optional = {"source": source, "notes": data.get("notes"), "pullRequest": entry.get("pullRequest")}
    return row | {key: value for key, value in optional.items() if value is not None}
