"""The loopback Hub against the unmodified clients: what it takes, what it refuses, and how it fails on order."""

import os
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from tests.loopback_hub import Fault

MODEL = "compgen/painn"
DATASET = "compgen/mini"
CARD = b"---\nlicense: mit\ntags: [chemistry, mlip]\nlibrary_name: graph-pes\n---\n# PaiNN\n"
EVAL_YAML = b"""\
name: MLIP
description: Forces on unseen molecules.
tasks:
  - {id: task1_score, config: task1, split: test_ood}
  - {id: task1_gap, config: task1, split: test_ood}
"""


def entry(value: float, task: str = "task1_score", notes: str = "zero-shot") -> bytes:
    return (
        f"- dataset: {{id: {DATASET}, task_id: {task}, revision: {'a' * 40}}}\n"
        f"  value: {value}\n"
        '  date: "2026-09-01"\n'
        "  source: {url: https://example.org/run, name: Run, org: compgen}\n"
        f"  notes: {notes}\n"
    ).encode()


@pytest.fixture
def api(hub):
    """The client, as a user who may write in the org compgen."""
    from huggingface_hub import HfApi

    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    return HfApi()


@pytest.fixture
def model(hub, api):
    hub.add_repo(MODEL, files={"README.md": CARD, "config.json": b"{}", "sub/notes.txt": b"one\ntwo\n"})
    return MODEL


def test_nothing_listens_where_no_test_asks_for_a_hub():
    address = os.environ["HF_ENDPOINT"].removeprefix("http://").split(":")
    with pytest.raises(ConnectionRefusedError), socket.create_connection((address[0], int(address[1])), timeout=5):
        pass


def test_who_am_i(api):
    told = api.whoami()
    assert told["name"] == "ann"
    assert [(org["name"], org["roleInOrg"]) for org in told["orgs"]] == [("compgen", "write")]


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_repo_is_made_once(hub, api, kind):
    from huggingface_hub.errors import HfHubHTTPError

    made = api.create_repo(MODEL, repo_type=kind, private=True)
    assert (made.repo_id, made.repo_type) == (MODEL, kind)
    assert api.repo_info(MODEL, repo_type=kind).private
    assert list(hub.files(MODEL, kind)) == [".gitattributes"]
    with pytest.raises(HfHubHTTPError, match="already created this") as caught:
        api.create_repo(MODEL, repo_type=kind)
    assert caught.value.response.status_code == 409
    assert api.create_repo(MODEL, repo_type=kind, exist_ok=True) == made
    api.delete_repo(MODEL, repo_type=kind)
    assert not api.repo_exists(MODEL, repo_type=kind)


def test_repos_are_made_only_where_the_user_may_write(hub, api):
    from huggingface_hub.errors import HfHubHTTPError

    hub.add_user("bob", orgs={"compgen": "read"})
    assert api.create_repo("mine").repo_id == "ann/mine"
    hub.log_in("bob")
    for repo in (MODEL, "other/painn", "ann/mine2"):
        with pytest.raises(HfHubHTTPError, match="You don't have the rights to create a model"):
            api.create_repo(repo)


def test_one_file_goes_up_and_comes_back(hub, api, model):
    from huggingface_hub import hf_hub_download

    said = api.upload_file(
        path_or_fileobj=b"text",
        path_in_repo="a/b c.txt",
        repo_id=model,
        commit_message="Add it",
        commit_description="why",
    )
    newest = hub.history(model, "model")[0]
    assert (newest.sha, newest.title, newest.message, newest.author) == (said.oid, "Add it", "why", "ann")
    assert newest.changed == ("a/b c.txt",)
    assert newest.files["a/b c.txt"] == b"text"
    assert Path(hf_hub_download(model, "a/b c.txt")).read_bytes() == b"text"
    assert Path(hf_hub_download(model, "a/b c.txt", revision=said.oid)).read_bytes() == b"text"


def test_a_large_file_goes_up_by_lfs_and_only_once(hub, api, model):
    from huggingface_hub import hf_hub_download

    weights = np.random.default_rng(0).bytes(4_000_000)
    api.upload_file(path_or_fileobj=weights, path_in_repo="model.safetensors", repo_id=model)
    assert Path(hf_hub_download(model, "model.safetensors")).read_bytes() == weights
    api.upload_file(path_or_fileobj=weights, path_in_repo="copy.safetensors", repo_id=model)
    assert hub.files(model, "model")["copy.safetensors"] == weights
    assert [request.method for request in hub.log if request.path.startswith("/lfs/")] == ["PUT", "POST"]
    sibling = next(
        file for file in api.model_info(model, files_metadata=True).siblings if file.rfilename == "copy.safetensors"
    )
    assert (sibling.size, sibling.lfs.size) == (len(weights), len(weights))


def test_a_large_file_must_be_what_was_announced(hub, api, model):
    import hashlib
    import json

    from huggingface_hub import constants, get_session
    from huggingface_hub.utils import build_hf_headers

    sha256 = hashlib.sha256(b"right").hexdigest()
    address = f"{constants.ENDPOINT}/{model}.git/info/lfs/objects/batch"
    body = {"operation": "upload", "objects": [{"oid": sha256, "size": 5}]}
    answer = get_session().post(address, json=body, headers=build_hf_headers())
    (asked,) = answer.json()["objects"]
    for sent, said in ((b"wrong", "SHA-256"), (b"longer", "6 came")):
        refused = get_session().put(asked["actions"]["upload"]["href"], content=sent)
        assert refused.status_code == 400
        assert said in refused.json()["error"]
    commit = [
        {"key": "header", "value": {"summary": "x"}},
        {"key": "lfsFile", "value": {"path": "x.bin", "algo": "sha256", "oid": sha256, "size": 5}},
    ]
    refused = get_session().post(
        f"{constants.ENDPOINT}/api/models/{model}/commit/main",
        content="\n".join(map(json.dumps, commit)),
        headers=build_hf_headers(),
    )
    assert refused.status_code == 400
    assert "x.bin: its LFS pointer pointed to a file that does not exist" in refused.json()["error"]


def test_a_folder_goes_up_in_one_commit_without_what_is_there(hub, api, model, tmp_path):
    (tmp_path / "sub").mkdir()
    for name, content in {"README.md": CARD, "new.txt": b"new", "sub/x.pt": b"\0"}.items():
        (tmp_path / name).write_bytes(content)
    api.upload_folder(repo_id=model, folder_path=tmp_path, delete_patterns="*.txt")
    newest, first = hub.history(model, "model")
    assert newest.changed == ("new.txt", "sub/notes.txt", "sub/x.pt")
    assert sorted(newest.files) == ["README.md", "config.json", "new.txt", "sub/x.pt"]
    assert "sub/notes.txt" in first.files
    api.upload_folder(repo_id=model, folder_path=tmp_path)
    assert len(hub.history(model, "model")) == 2


def test_ignored_files_are_left_out(hub, api, model, tmp_path):
    for name in (".gitignore", "x.log", "x.txt"):
        (tmp_path / name).write_text("*.log\n")
    api.upload_folder(repo_id=model, folder_path=tmp_path)
    assert hub.history(model, "model")[0].changed == (".gitignore", "x.txt")


def test_files_and_folders_are_deleted(hub, api, model):
    from huggingface_hub.errors import EntryNotFoundError

    api.delete_folder("sub", model)
    api.delete_file("config.json", model)
    assert list(hub.files(model, "model")) == ["README.md"]
    with pytest.raises(EntryNotFoundError, match="A file with this name doesn't exist"):
        api.delete_file("config.json", model)


def test_a_stale_parent_is_refused_and_nothing_lands(hub, api, model):
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub.errors import HfHubHTTPError

    old = api.model_info(model).sha
    new = hub.commit(model, "model", {"theirs.txt": b"1"})
    operations = [CommitOperationAdd("mine.txt", b"2")]
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as caught:
        api.create_commit(model, operations, commit_message="Mine", parent_commit=old)
    assert caught.value.response.status_code == 412
    assert api.model_info(model).sha == new
    api.create_commit(model, operations, commit_message="Mine", parent_commit=new)
    assert {"mine.txt", "theirs.txt"} <= set(hub.files(model, "model"))


def test_somebody_without_the_right_opens_a_pull_request(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError

    hub.add_user("bob")
    hub.log_in("bob")
    file = {"path_in_repo": ".eval_results/x.yaml", "repo_id": model}
    with pytest.raises(HfHubHTTPError, match="pass `create_pr=1`") as caught:
        api.upload_file(path_or_fileobj=entry(1), **file)
    assert caught.value.response.status_code == 403
    said = api.upload_file(path_or_fileobj=entry(1), **file, create_pr=True)
    weights = np.random.default_rng(1).bytes(1000)
    api.upload_file(path_or_fileobj=weights, path_in_repo="x.pt", repo_id=model, revision=said.pr_revision)
    (opened,) = hub.pull_requests(model, "model")
    assert (opened.number, opened.revision, opened.author, opened.status) == (1, "refs/pr/1", "bob", "open")
    assert hub.files(model, "model", "refs/pr/1")["x.pt"] == weights
    assert "x.pt" not in hub.files(model, "model")
    assert api.list_repo_refs(model, include_pull_requests=True).pull_requests[0].ref == "refs/pr/1"
    with pytest.raises(HfHubHTTPError, match="must have write access"):
        api.merge_pull_request(model, 1)

    hub.commit(model, "model", {"other.txt": b"meanwhile"})
    hub.log_in("ann")
    details = api.get_discussion_details(model, 1)
    assert details.conflicting_files == []
    assert "+- dataset" in details.diff
    api.merge_pull_request(model, 1, comment="Thanks")
    assert {"x.pt", "other.txt", ".eval_results/x.yaml"} <= set(hub.files(model, "model"))
    assert hub.pull_requests(model, "model")[0].status == "merged"
    assert hub.history(model, "model")[0].title.endswith("(#1)")


def test_a_pull_request_may_start_from_an_old_commit(hub, api, model):
    old = api.model_info(model).sha
    hub.commit(model, "model", {"theirs.txt": b"1"})
    said = api.upload_file(
        path_or_fileobj=b"2", path_in_repo="mine.txt", repo_id=model, parent_commit=old, create_pr=True
    )
    assert "theirs.txt" not in hub.files(model, "model", said.pr_revision)
    assert api.model_info(model, revision=said.pr_revision).sha == said.oid
    api.merge_pull_request(model, said.pr_num)
    assert {"mine.txt", "theirs.txt"} <= set(hub.files(model, "model"))


def test_conflicting_pull_requests_are_not_merged(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError

    api.upload_file(path_or_fileobj=b"{1}", path_in_repo="config.json", repo_id=model, create_pr=True)
    hub.commit(model, "model", {"config.json": b"{2}"})
    assert api.get_discussion_details(model, 1).conflicting_files == ["config.json"]
    with pytest.raises(HfHubHTTPError, match=r"conflicts with main in config\.json"):
        api.merge_pull_request(model, 1)


def test_discussions(hub, api, model):
    opened = api.create_discussion(model, "A question", description="Why?")
    api.comment_discussion(model, opened.num, "Because")
    api.rename_discussion(model, opened.num, "An answer")
    api.change_discussion_status(model, opened.num, "closed")
    draft = api.create_pull_request(model, "A draft")
    assert (draft.status, draft.git_reference) == ("draft", "refs/pr/2")
    assert [event.type for event in api.get_discussion_details(model, opened.num).events] == [
        "comment",
        "comment",
        "title-change",
        "status-change",
    ]
    assert [found.num for found in api.get_repo_discussions(model)] == [2, 1]
    assert [found.title for found in api.get_repo_discussions(model, discussion_status="closed")] == ["An answer"]
    assert [found.num for found in api.get_repo_discussions(model, discussion_type="pull_request")] == [2]


def test_tags_and_branches(hub, api, model):
    from huggingface_hub.errors import BadRequestError, HfHubHTTPError, RevisionNotFoundError

    first = hub.history(model, "model")[0].sha
    api.create_tag(model, tag="v1.0")
    api.create_branch(model, branch="work/one")
    api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=model, revision="work/one")
    assert hub.tags(model, "model") == {"v1.0": first}
    assert "x" in hub.files(model, "model", "work/one")
    assert "x" not in hub.files(model, "model", "v1.0")
    assert api.model_info(model, revision="v1.0").sha == api.model_info(model, revision=first).sha == first
    with pytest.raises(HfHubHTTPError, match="already exists") as caught:
        api.create_tag(model, tag="v1.0")
    assert caught.value.response.status_code == 409
    api.create_tag(model, tag="v1.0", exist_ok=True)
    with pytest.raises(BadRequestError, match="Invalid reference"):
        api.create_branch(model, branch="refs/pr/5")
    api.delete_tag(model, tag="v1.0")
    api.delete_branch(model, branch="work/one")
    with pytest.raises(RevisionNotFoundError, match="Invalid rev id"):
        api.delete_tag(model, tag="v1.0")
    assert [ref.name for ref in api.list_repo_refs(model).branches] == ["main"]


def test_only_what_matches_is_downloaded(hub, api, model):
    from huggingface_hub import snapshot_download

    hub.commit(model, "model", {"x.safetensors": b"\0weights"})
    folder = Path(snapshot_download(model, allow_patterns=["*.json", "sub/*"]))
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "config.json",
        "sub/notes.txt",
    ]
    assert (Path(snapshot_download(model)) / "x.safetensors").read_bytes() == b"\0weights"


def test_files_are_listed(hub, api, model):
    sha = hub.commit(model, "model", {"sub/deep/x.pt": b"\0"}, message="Add x", author="eve")
    assert [found.path for found in api.list_repo_tree(model)] == ["README.md", "config.json", "sub"]
    assert [found.path for found in api.list_repo_tree(model, "sub", recursive=True)] == [
        "sub/deep",
        "sub/deep/x.pt",
        "sub/notes.txt",
    ]
    file, folder = api.get_paths_info(model, ["sub/deep/x.pt", "sub/deep", "absent"], expand=True)
    assert (file.size, file.lfs.size, file.last_commit.oid, file.last_commit.title) == (1, 1, sha, "Add x")
    assert folder.last_commit.oid == sha
    newest = api.list_repo_commits(model)[0]
    assert (newest.title, newest.authors) == ("Add x", ["eve"])


def test_a_commit_without_large_files_has_the_hashes_of_git(hub, api, model, tmp_path):
    (tmp_path / "x").write_bytes(b"hello\n")
    api.upload_file(path_or_fileobj=b"hello\n", path_in_repo="x", repo_id=model)
    (told,) = api.get_paths_info(model, "x")
    assert told.blob_id == "ce013625030ba8dba906f756967f9e9ca394464a"  # of `git hash-object`


def test_missing_things_raise_what_the_client_has_for_them(hub, api, model):
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    def download() -> None:
        hf_hub_download(model, "absent.txt")

    hub.log_out()
    for user in ("", "ann"):
        if user:
            hub.log_in(user)
        status = 404 if user else 401
        with pytest.raises(RepositoryNotFoundError, match=f"{status} Client Error"):
            api.model_info("compgen/absent")
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("absent")
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download("compgen/absent", "x")
        with pytest.raises(RepositoryNotFoundError):
            api.dataset_info(model)
        with pytest.raises(RevisionNotFoundError):
            api.model_info(model, revision="absent")
        with pytest.raises(RevisionNotFoundError):
            hf_hub_download(model, "config.json", revision="refs/pr/7")
        with pytest.raises(EntryNotFoundError):
            download()
        with pytest.raises(EntryNotFoundError):
            list(api.list_repo_tree(model, "absent"))


def test_a_private_repo_is_hidden_from_strangers(hub, api):
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RepositoryNotFoundError

    hub.add_repo(MODEL, files={"config.json": b"{}"}, private=True)
    hub.add_user("bob")
    hub.add_user("eve", orgs={"compgen": "read"})
    for user in ("ann", "eve"):
        hub.log_in(user)
        assert Path(hf_hub_download(MODEL, "config.json", force_download=True)).read_bytes() == b"{}"
        assert [found.id for found in api.list_models()] == [MODEL]
    hub.log_in("bob")
    with pytest.raises(RepositoryNotFoundError, match="404 Client Error"):
        hf_hub_download(MODEL, "config.json", force_download=False, cache_dir="unused")
    assert list(api.list_models()) == []
    hub.log_out()
    with pytest.raises(RepositoryNotFoundError, match="401 Client Error"):
        api.model_info(MODEL)


def test_a_gated_repo_is_seen_but_its_files_are_not_read(hub, api):
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import GatedRepoError

    hub.add_repo("other/gated", files={"config.json": b"{}"}, gated=True)
    assert api.model_info("other/gated").gated == "manual"
    with pytest.raises(GatedRepoError, match=r"Visit http.*/other/gated to ask for access"):
        hf_hub_download("other/gated", "config.json")
    with pytest.raises(GatedRepoError, match="not in the authorized list"):
        api.auth_check("other/gated")
    hub.log_out()
    with pytest.raises(GatedRepoError, match="Please log in"):
        hf_hub_download("other/gated", "config.json")
    hub.log_in("ann")
    hub.let_in("other/gated", "model", "ann")
    api.auth_check("other/gated")
    assert Path(hf_hub_download("other/gated", "config.json")).read_bytes() == b"{}"


def test_a_wrong_token_is_told_from_a_missing_repo(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
        api.model_info(model, token="hf_wrong")
    assert not isinstance(caught.value, RepositoryNotFoundError)
    with pytest.raises(HfHubHTTPError, match="Invalid user token"):
        api.whoami(token="hf_wrong")
    with pytest.raises(RepositoryNotFoundError, match="401 Client Error"):
        api.upload_file(path_or_fileobj=b"", path_in_repo="x", repo_id=model, token=False)


def test_settings(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError

    api.update_repo_settings(model, private=True, gated="auto")
    told = api.model_info(model)
    assert (told.private, told.gated) == (True, "auto")
    hub.add_user("eve", orgs={"compgen": "read"})
    hub.log_in("eve")
    with pytest.raises(HfHubHTTPError, match="must have write access"):
        api.update_repo_settings(model, private=False)


def test_a_card_gives_tags_by_which_repos_are_found(hub, api, model):
    hub.add_repo("ann/tuned", files={"README.md": b"---\nbase_model: compgen/painn\ntags: [mlip]\n---\n"})
    hub.add_repo(DATASET, "dataset", {"README.md": b"---\ntags: [mlip]\nsize_categories: [1K<n<10K]\n---\n"})
    told = api.model_info(model)
    assert told.tags == ["graph-pes", "chemistry", "mlip", "license:mit", "region:us"]
    assert (told.library_name, told.card_data.license) == ("graph-pes", "mit")

    def ids(**by: object) -> list[str]:
        return sorted(found.id for found in api.list_models(**by))

    assert ids(filter="mlip") == ["ann/tuned", model]
    assert ids(filter=["mlip", "license:mit"]) == [model]
    assert ids(filter="base_model:compgen/painn") == ["ann/tuned"]
    assert ids(author="ann") == ids(search="TUNED") == ["ann/tuned"]
    assert ids(filter="absent") == []
    assert [found.id for found in api.list_datasets(filter="size_categories:1K<n<10K")] == [DATASET]
    (listed,) = api.list_models(author="compgen", full=True, cardData=True)
    assert (listed.sha, listed.card_data.license) == (told.sha, "mit")


def test_only_what_is_asked_for_is_told(hub, api, model):
    from huggingface_hub.errors import BadRequestError

    told = api.model_info(model, expand=["sha", "cardData"])
    assert told.sha is not None
    assert (told.card_data.license, told.siblings, told.tags) == ("mit", None, None)
    with pytest.raises(BadRequestError, match='"expand" must be among'):
        api.model_info(model, expand=["nonsense"])


def test_results_of_a_model_come_from_main_and_open_pull_requests(hub, api, model):
    api.upload_file(path_or_fileobj=entry(70), path_in_repo=".eval_results/a.yaml", repo_id=model)
    api.upload_file(
        path_or_fileobj=entry(80, notes="theirs"), path_in_repo=".eval_results/b.yaml", repo_id=model, create_pr=True
    )
    hub.commit(model, "model", {".eval_results/broken.yaml": b"- value: 1\n"})
    found = api.model_info(model, expand=["evalResults"]).eval_results
    assert [(result.value, result.task_id, result.date, result.notes, result.source_org) for result in found] == [
        (70, "task1_score", "2026-09-01", "zero-shot", "compgen"),
        (80, "task1_score", "2026-09-01", "theirs", "compgen"),
    ]
    assert found[0].dataset_revision == "a" * 40
    with urllib.request.urlopen(f"{hub.endpoint}/api/models/{model}?expand=evalResults") as answer:
        told = answer.read().decode()
    assert '"pullRequest":1' in told
    assert '.eval_results/broken.yaml: \\"[0].dataset\\" must be a mapping' in told


def test_a_leaderboard_ranks_by_the_first_task(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError

    hub.add_repo(DATASET, "dataset", {"eval.yaml": EVAL_YAML})
    for name, value in {"worse": 10, "best": 90}.items():
        hub.add_repo(f"ann/{name}", files={".eval_results/a.yaml": entry(value) + entry(5, "task1_gap")})
    tuned = b"---\nbase_model: compgen/painn\n---\n"
    hub.add_repo("ann/tuned", files={".eval_results/a.yaml": entry(95), "README.md": tuned})
    hub.add_repo("ann/hidden", files={".eval_results/a.yaml": entry(99)}, private=True)
    hub.add_user("bob")
    hub.log_in("bob")
    api.upload_file(path_or_fileobj=entry(50), path_in_repo=".eval_results/a.yaml", repo_id=model, create_pr=True)

    with pytest.raises(HfHubHTTPError, match="has no leaderboard"):
        api.get_dataset_leaderboard(DATASET)
    hub.allow_list(DATASET)
    rows = api.get_dataset_leaderboard(DATASET)
    assert [(row.rank, row.model_id, row.value, row.pull_request) for row in rows] == [
        (1, "ann/best", 90, None),
        (2, model, 50, 1),
        (3, "ann/worse", 10, None),
    ]
    assert (rows[0].author.username, rows[1].author.name) == ("ann", "compgen")
    assert (rows[0].filename, rows[0].verified, rows[0].notes) == (".eval_results/a.yaml", False, "zero-shot")
    assert rows[0].source["url"] == "https://example.org/run"
    assert api.get_dataset_leaderboard(DATASET, base_model_only=False)[0].model_id == "ann/tuned"
    assert [found.id for found in api.list_datasets(benchmark=True)] == [DATASET]


MODEL_INDEX = """\
---
model-index:
- name: painn
  results:
  - task: {type: mlip}
    dataset: {type: compgen/mini, name: MLIP}
    metrics:
    - {type: mae, value: 1.0}
---
"""


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("README.md", "---\na: [\n---\n", "README.md: invalid YAML"),
        ("README.md", "---\na: 1\na: 2\n---\n", "README.md: invalid YAML.*duplicate key"),
        ("README.md", "---\n- a\n---\n", '"front matter" must be a mapping'),
        ("README.md", "---\nlicense: my-own\n---\n", "\"license\" must be among .*got 'my-own'"),
        ("README.md", "---\nlicense: 3\n---\n", '"license" must be a list'),
        ("README.md", "---\ntags: mlip\n---\n", '"tags" must be a list'),
        ("README.md", "---\ntags: [1]\n---\n", '"tags" must be a list of strings'),
        ("README.md", "---\ndatasets: {a: 1}\n---\n", '"datasets" must be a list'),
        (
            "README.md",
            MODEL_INDEX.replace("- name: painn", "- nom: painn"),
            r'"model-index\[0\].name" must be a string',
        ),
        ("README.md", MODEL_INDEX.replace("{type: mlip}", "{}"), r'"model-index\[0\].results\[0\].task.type"'),
        ("README.md", MODEL_INDEX.replace(", name: MLIP", ""), r'results\[0\].dataset.name" must be a string'),
        (
            "README.md",
            MODEL_INDEX.replace("{type: compgen/mini, ", "{"),
            r'results\[0\].dataset.type" must be a string',
        ),
        ("README.md", MODEL_INDEX.replace(", value: 1.0", ""), r'metrics\[0\].value" must be given'),
        ("README.md", MODEL_INDEX.replace("{type: mae, ", "{"), r'metrics\[0\].type" must be a string'),
    ],
)
def test_invalid_cards_are_refused_before_anything_is_sent(hub, api, model, path, content, said):
    with pytest.raises(ValueError, match=f"(?s)Invalid metadata in README.md.*{said}"):
        api.upload_file(path_or_fileobj=content.encode(), path_in_repo=path, repo_id=model)
    assert len(hub.history(model, "model")) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("configs: 1", '"configs" must be a list'),
        ("configs: [{data_files: x}]", r'"configs\[0\].config_name" must be a string'),
        ("configs: [{config_name: a}]", r'"configs\[0\].data_files" must be a string'),
        ("configs: [{config_name: a, data_files: [{path: x}]}]", r'"configs\[0\].data_files.split" must be a string'),
        ("configs: [{config_name: a, data_files: [{split: x}]}]", r'"configs\[0\].data_files.path" must be a string'),
    ],
)
def test_invalid_configs_of_a_data_set_are_refused(hub, api, content, said):
    hub.add_repo(DATASET, "dataset")
    with pytest.raises(ValueError, match=f"(?s)Invalid metadata in README.md.*{said}"):
        api.upload_file(
            path_or_fileobj=f"---\n{content}\n---\n".encode(),
            path_in_repo="README.md",
            repo_id=DATASET,
            repo_type="dataset",
        )


def test_a_valid_card_is_taken_and_an_empty_one_warned_about(hub, api, model):
    api.upload_file(path_or_fileobj=MODEL_INDEX.encode(), path_in_repo="README.md", repo_id=model)
    assert api.model_info(model).card_data.eval_results[0].metric_value == 1.0
    assert "model-index" in api.model_info(model).tags
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"# No front matter\n", path_in_repo="README.md", repo_id=model)
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        api.upload_file(path_or_fileobj=b"---\n---\nText\n---\n", path_in_repo="README.md", repo_id=model)
    assert api.model_info(model).card_data is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"name: MLIP\n", b"", '"name" must be a string; got None'),
        (b"description: Forces on unseen molecules.", b"description: 3", '"description" must be a string'),
        (b"task1_gap", b"task1_score", r'"tasks\[1\].id" must be unique'),
        (b"config: task1, ", b"", r'"tasks\[0\].config" must be a string'),
        (b", split: test_ood", b"", r'"tasks\[0\].split" must be a string'),
        (EVAL_YAML.split(b"tasks:")[1], b" []", '"tasks" must be a list of at least one task'),
        (b"tasks:", b"evaluation_framework: mlip-ood\ntasks:", '"evaluation_framework" must be one of'),
    ],
)
def test_an_invalid_benchmark_is_refused(hub, api, old, new, said):
    from huggingface_hub.errors import BadRequestError

    hub.add_repo(DATASET, "dataset")
    file = {"path_in_repo": "eval.yaml", "repo_id": DATASET, "repo_type": "dataset"}
    with pytest.raises(BadRequestError, match=f"eval.yaml: {said}"):
        api.upload_file(path_or_fileobj=EVAL_YAML.replace(old, new), **file)
    assert hub.files(DATASET, "dataset") == {}
    api.upload_file(path_or_fileobj=EVAL_YAML.replace(b"tasks:", b"evaluation_framework: mteb\ntasks:"), **file)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"- dataset", b"dataset", '"file" must be a list'),
        (b"id: compgen/mini, ", b"", r'"\[0\].dataset.id" must be a string'),
        (b"compgen/mini", b"mini", r'"\[0\].dataset.id" must be the id of a data set'),
        (b", task_id: task1_score", b"", r'"\[0\].dataset.task_id" must be a string'),
        (b"a" * 40, b"main", r'"\[0\].dataset.revision" must be a commit hash'),
        (b"value: 1\n", b"value: high\n", r'"\[0\].value" must be a number'),
        (b"value: 1\n", b"value: .nan\n", r'"\[0\].value" must be a number'),
        (b"value: 1\n", b"value: true\n", r'"\[0\].value" must be a number'),
        (b"  value: 1\n", b"", r'"\[0\].value" must be a number; got None'),
        (b'"2026-09-01"', b"2026-09-01", r'"\[0\].date" must be a string .* in quotes'),
        (b'"2026-09-01"', b'"yesterday"', r'"\[0\].date" must be a string with an ISO-8601 date'),
        (b"url: https://example.org/run, ", b"", r'"\[0\].source.url" must be a string'),
        (b"notes:", b"remarks:", r'"\[0\].remarks" is unknown'),
        (b"zero-shot", b"3", r'"\[0\].notes" must be a string'),
    ],
)
def test_invalid_results_are_refused(hub, api, model, old, new, said):
    from huggingface_hub.errors import BadRequestError

    content = entry(1)
    broken = content[2:].replace(b"\n  ", b"\n") if new == b"dataset" else content.replace(old, new)
    assert broken != content
    file = {"path_in_repo": ".eval_results/a.yaml", "repo_id": model}
    with pytest.raises(BadRequestError, match=rf"\.eval_results/a\.yaml: {said}"):
        api.upload_file(path_or_fileobj=broken, **file)
    assert len(hub.history(model, "model")) == 1
    api.upload_file(path_or_fileobj=content.replace(b"2026-09-01", b"2026-09-01T10:30:00Z"), **file)


def test_a_data_set_is_pushed_loaded_and_streamed(hub, api):
    from datasets import Dataset, load_dataset

    rows = {"n": list(range(500)), "positions": [[0.5 * i] * 3 for i in range(500)]}
    Dataset.from_dict(rows).push_to_hub(DATASET, "task1", split="train")
    assert load_dataset(DATASET, "task1", split="train")[:] == rows
    streamed = list(load_dataset(DATASET, "task1", split="train", streaming=True))  # to its end, see test_package.py
    assert [row["n"] for row in streamed] == rows["n"]
    pinned = load_dataset(DATASET, "task1", revision=hub.history(DATASET, "dataset")[0].sha)
    assert pinned["train"].num_rows == 500


def test_files_are_read_through_the_file_system(hub, api, model):
    from huggingface_hub import HfFileSystem

    content = np.random.default_rng(2).bytes(200_000)
    hub.commit(model, "model", {"data/x.bin": content})
    files = HfFileSystem()
    assert files.ls(f"{model}/data", detail=False) == [f"{model}/data/x.bin"]
    with files.open(f"{model}/data/x.bin", block_size=1 << 16) as file:
        file.seek(150_000)
        assert file.read(100) == content[150_000:150_100]
    assert files.cat_file(f"{model}/data/x.bin", start=-10) == content[-10:]
    with files.open(f"{model}/new.txt", "wb") as file:
        file.write(b"written")
    assert hub.files(model, "model")["new.txt"] == b"written"
    assert "206" in {str(request.status) for request in hub.log}


def test_a_metric_is_loaded_from_a_space(hub, api, tmp_path):
    import evaluate

    folder = Path(__file__).parent.parent / "harness" / "metric" / "mlip_ood"
    hub.add_repo(
        "compgen/mlip_ood", "space", {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    )
    metric = evaluate.load("compgen/mlip_ood", module_type="metric")
    assert set(metric.features) >= {"predictions", "references"}


def test_the_command_line_talks_to_it(hub, api, model, tmp_path):
    (tmp_path / "x.txt").write_text("from the command line")
    command = [Path(sys.executable).with_name("hf"), "upload", model, tmp_path / "x.txt", "x.txt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert hub.files(model, "model")["x.txt"] == b"from the command line"
    assert hub.history(model, "model")[0].author == "ann"


def test_a_status_is_ordered_for_some_requests(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError

    hub.order(Fault(method="GET", path=r"/api/models/", status=403, message="no", times=2, after=1))
    api.model_info(model)
    for _ in range(2):
        with pytest.raises(HfHubHTTPError, match="403 Forbidden: no"):
            api.model_info(model)
    api.model_info(model)
    assert [request.status for request in hub.log] == [200, 403, 403, 200]


def test_a_code_is_ordered(hub, api, model):
    from huggingface_hub.errors import GatedRepoError

    hub.log_out()
    hub.order(Fault(path="/absent", status=403, error_code="GatedRepo"))
    with pytest.raises(GatedRepoError):
        api.model_info("compgen/absent")


def test_the_client_waits_as_long_as_it_is_told(hub, api, model, no_waiting):
    hub.order(Fault(method="GET", path="/tree/", status=429, retry_after=7))
    hub.order(Fault(method="GET", path="/tree/", status=500))
    assert len(list(api.list_repo_tree(model))) == 3
    assert no_waiting == [8.0, 2]  # the client adds a second to what it is told, and doubles its own wait each time


def test_waits_of_tenacity_are_skipped_too(no_waiting):
    import tenacity

    tries = []

    @tenacity.retry(wait=tenacity.wait_fixed(100), stop=tenacity.stop_after_attempt(3), reraise=True)
    def fail() -> None:
        tries.append(1)
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        fail()
    assert (len(tries), no_waiting) == (3, [100, 100])


def test_a_connection_is_cut(hub, api, model):
    from huggingface_hub.errors import HTTPError

    hub.order(Fault(method="POST", path="/commit/", cut=True))
    with pytest.raises(HTTPError) as caught:
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=model)
    assert not hasattr(caught.value, "response")
    assert hub.log[-1].status is None
    assert "x" not in hub.files(model, "model")


def test_an_answer_is_lost_after_the_work_is_done(hub, api, model):
    from huggingface_hub.errors import HTTPError

    hub.order(Fault(method="POST", path="/commit/", truncate=0))
    with pytest.raises(HTTPError):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=model)
    assert hub.files(model, "model")["x"] == b"x"


def test_a_download_that_breaks_off_is_taken_up_again(hub, api, model, no_waiting):
    from huggingface_hub import hf_hub_download

    content = np.random.default_rng(3).bytes(12_000_000)
    hub.commit(model, "model", {"x.bin": content})
    # The client keeps what it got in steps of 10 MiB.
    hub.order(Fault(method="GET", path=r"x\.bin", truncate=11_000_000))
    assert Path(hf_hub_download(model, "x.bin")).read_bytes() == content
    assert [request.status for request in hub.log][-3:] == [200, 200, 206]
    assert no_waiting == [1]


def test_an_answer_is_late(hub, api, model):
    from huggingface_hub.errors import HTTPError

    hub.order(Fault(method="GET", path="/api/models/", delay=0.5))
    with pytest.raises(HTTPError, match="timed out"):
        api.model_info(model, timeout=0.1)
    assert api.model_info(model, timeout=5).id == model


def test_a_strangers_commit_comes_in_between(hub, api, model):
    from huggingface_hub.errors import HfHubHTTPError

    called_in = []

    def stranger() -> None:
        hub.commit(model, "model", {"theirs": b"1"})
        # What is called may ask the Hub itself.
        called_in.append(api.model_info(model).sha)

    hub.order(Fault(method="POST", path="/commit/main", before=stranger))
    head = api.model_info(model).sha
    with pytest.raises(HfHubHTTPError, match="A commit has happened since"):
        api.upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id=model, parent_commit=head)
    assert called_in == [hub.history(model, "model")[0].sha]


def test_a_fault_comes_before_permissions(hub, api):
    from huggingface_hub.errors import HfHubHTTPError

    hub.order(Fault(path="/absent", status=500))
    with pytest.raises(HfHubHTTPError, match="500"):
        api.model_info("compgen/absent", token="hf_wrong")
    assert hub.log[-1].user == "?"


def test_the_log_names_users_and_no_tokens(hub, api, model):
    token = hub.add_user("bob")
    hub.log_in("bob")
    weights = np.random.default_rng(4).bytes(1000)
    api.upload_file(path_or_fileobj=weights, path_in_repo="x.pt", repo_id=model, create_pr=True)
    assert {request.user for request in hub.log} == {"bob", ""}
    assert token not in repr(hub.log)
    assert "ticket" not in repr(hub.log)


def test_a_hub_is_tried_by_hand_and_kept(hub, tmp_path, monkeypatch):
    """The fixture only keeps the caches apart; the Hub under test runs in a process of its own."""
    content = np.random.default_rng(5).bytes(5000)
    script = (
        "import sys; from huggingface_hub import HfApi, hf_hub_download\n"
        "api = HfApi(); content = open(sys.argv[1], 'rb').read()\n"
        "if not api.repo_exists('compgen/painn'):\n"
        "    api.create_repo('compgen/painn', private=True)\n"
        "    api.upload_file(path_or_fileobj=content, path_in_repo='x.pt', repo_id='compgen/painn')\n"
        "    api.create_tag('compgen/painn', tag='v1')\n"
        "assert open(hf_hub_download('compgen/painn', 'x.pt', revision='v1'), 'rb').read() == content\n"
        "print(len(api.list_repo_commits('compgen/painn')), api.whoami()['name'])\n"
    )
    (tmp_path / "x.pt").write_bytes(content)
    root = Path(__file__).parent.parent
    command = [sys.executable, "-m", "tests.loopback_hub", "--port", "0", "--data", str(tmp_path / "data")]
    for home in ("first", "second"):
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as served:
            try:
                said = served.stdout.readline()
                assert re.fullmatch(
                    r"export HF_ENDPOINT=http://127\.0\.0\.1:\d+ HF_HUB_DISABLE_XET=1 HF_TOKEN=hf_loopback_tester\n",
                    said,
                )
                settings = dict(pair.split("=") for pair in said.split()[1:]) | {"HF_HOME": str(tmp_path / home)}
                done = subprocess.run(
                    [sys.executable, "-c", script, tmp_path / "x.pt"],
                    env=os.environ | settings,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                assert done.stdout == "2 tester\n", done.stderr
            finally:
                served.send_signal(2)
        assert served.returncode == 0


def test_a_taken_port_is_told(hub):
    port = hub.endpoint.rsplit(":", 1)[1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.loopback_hub", "--port", port],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "choose another with --port" in done.stderr
