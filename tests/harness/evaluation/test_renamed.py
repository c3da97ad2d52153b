"""A repo that was renamed answers to its old id; what is written down is the id that the Hub gives it today."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from harness.data.dataset import open_dataset
from harness.evaluation.run import RunOptions, evaluate_model
from harness.models.resolve import resolve_model
from harness.train.data_source import find_training_files
from tests.harness.hub.test_hub_folder import files_in
from tests.harness.models.test_resolve import OURS
from tests.loopback_hub import LoopbackHub

OLD, NEW = "org/name", "compgen/mlip-ood"


@pytest.fixture
def commit(hub: LoopbackHub, tiny_dataset: Path) -> str:
    """The commit of a data set that had another id before."""
    commit = hub.add_repo(OLD, "dataset", {**files_in(tiny_dataset), "README.md": b"# Data\n"})
    hub.rename(OLD, NEW, "dataset")
    return commit


def test_the_client_follows_a_repo_that_was_moved(hub: LoopbackHub) -> None:
    hub.add_user("ann", orgs={"org": "admin", "compgen": "write"})
    hub.log_in("ann")
    hub.add_repo(OLD, "dataset", {"README.md": b"# Data\n"})
    api = HfApi()
    api.move_repo(OLD, "org/later", repo_type="dataset")
    api.move_repo("org/later", NEW, repo_type="dataset")
    for repo_id in (OLD, "org/later", NEW):
        assert api.dataset_info(repo_id).id == NEW
        path = api.hf_hub_download(repo_id, "README.md", repo_type="dataset")
        assert Path(path).read_bytes() == b"# Data\n"
    api.upload_file(path_or_fileobj=b"more", path_in_repo="more.txt", repo_id=OLD, repo_type="dataset")
    assert hub.files(NEW, "dataset")["more.txt"] == b"more"


def test_a_renamed_repo_keeps_its_old_id_from_those_who_may_not_see_it(hub: LoopbackHub, commit: str) -> None:
    hub.add_repo("org/secret", "dataset", {}, private=True)
    hub.rename("org/secret", "org/hidden", "dataset")
    assert not HfApi().repo_exists("org/secret", repo_type="dataset")


@pytest.mark.parametrize("text", [OLD, f"{OLD}@main", f"{OLD}@{{commit}}", f"hf://datasets/{OLD}", NEW])
def test_a_data_set_has_the_id_of_today(hub: LoopbackHub, commit: str, text: str) -> None:
    pinned = open_dataset(text.format(commit=commit))
    assert (pinned.id, pinned.revision) == (NEW, commit)
    assert pinned.content_hash == open_dataset(NEW).content_hash


def test_training_names_it_so_too(hub: LoopbackHub, commit: str) -> None:
    assert find_training_files(OLD, "task1").id == NEW


def test_a_pinned_commit_of_an_old_id_works_offline(
    hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_dataset(f"{NEW}@{commit}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert open_dataset(f"{NEW}@{commit}").id == NEW


@pytest.mark.parametrize("text", ["old/model", "old/model@main", "old/model@{commit}"])
def test_a_model_has_the_id_of_today(hub: LoopbackHub, text: str) -> None:
    commit = hub.add_repo("old/model", files=OURS)
    hub.rename("old/model", "new/model", "model")
    source = resolve_model(text.format(commit=commit))
    assert (source.model_id, source.revision) == ("new/model", commit)


def test_the_result_names_it_so(hub: LoopbackHub, commit: str, tmp_path: Path) -> None:
    run = evaluate_model(resolve_model("zero"), open_dataset(OLD), RunOptions(("task1",), tmp_path, quiet=True))
    assert run is not None
    assert (run.result.dataset.id, run.result.dataset.revision) == (NEW, commit)
