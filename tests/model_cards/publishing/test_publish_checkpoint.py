import shutil

import pytest

from dataset_builders.core.errors import IncompleteError, ModelError, SetupError, UsageError
from harness.models.registry import REFERENCE_DIRECTORY
from harness.networks.checkpoint_format import WEIGHTS_FILE
from model_cards.cli import main
from model_cards.publishing.publish_checkpoint import PublishOptions, publish_checkpoint
from tests.harness.results.test_result import failed, result_of, tasks  # noqa: F401 (a fixture)
from tests.loopback_hub import Fault
from tests.packages import need

REPO = "compgen/painn-task2"

need("graph_pes", "the reference checkpoint needs graph-pes")


@pytest.fixture
def ann(hub):
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")


def test_a_checkpoint_is_published_in_one_commit(hub, ann):
    done = publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    assert done.is_new
    assert next(commit.sha for commit in hub.history(REPO, "model")) == done.commit
    files = hub.files(REPO, "model")
    assert files[WEIGHTS_FILE] == (REFERENCE_DIRECTORY / WEIGHTS_FILE).read_bytes()
    assert {"config.json", "README.md", "validation_curve.csv", "validation_curve.png"} <= set(files)
    card = files["README.md"].decode()
    assert f"python -m harness --model {REPO} --dataset compgen/mlip-ood" in card
    assert "are added at the end of this card" in card


def test_the_picture_goes_up_with_the_card(hub, ann):
    publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    files = hub.files(REPO, "model")
    assert "](mlip-ood-checkpoint.png)" in files["README.md"].decode()
    assert files["mlip-ood-checkpoint.png"].startswith(b"\x89PNG")


def test_files_of_others_stay(hub, ann):
    hub.add_repo(REPO, files={"README.md": b"# Mine\n", "gap.png": b"mine", "mlip-ood-checkpoint.png": b"mine"})
    publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    files = hub.files(REPO, "model")
    assert (files["README.md"], files["gap.png"], files["mlip-ood-checkpoint.png"]) == (b"# Mine\n", b"mine", b"mine")


def test_a_picture_that_no_card_shows_is_not_replaced(hub, ann):
    hub.add_repo(REPO, files={"mlip-ood-checkpoint.png": b"mine"})
    with pytest.raises(UsageError, match=r"contains mlip-ood-checkpoint\.png but no README\.md that shows it; rename"):
        publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    assert hub.files(REPO, "model")["mlip-ood-checkpoint.png"] == b"mine"


def test_the_card_on_the_hub_is_kept(hub, ann):
    publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    card = hub.files(REPO, "model")["README.md"] + b"\nResults that were pushed\n"
    hub.commit(REPO, "model", {"README.md": card})
    again = publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    assert not again.is_new
    assert hub.files(REPO, "model")["README.md"] == card


def test_an_earlier_id_leads_to_the_repo_of_today(hub, ann):
    hub.add_repo("compgen/earlier")
    hub.rename("compgen/earlier", REPO, "model")
    done = publish_checkpoint(REFERENCE_DIRECTORY, "compgen/earlier")
    card = hub.files(REPO, "model")["README.md"].decode()
    assert f"--model {REPO} --dataset" in card
    assert "compgen/earlier" not in card
    assert done.url.startswith(f"{hub.endpoint}/{REPO}/")


def test_other_weights_are_refused(hub, ann):
    hub.add_repo(REPO, files={WEIGHTS_FILE: b"other weights"})
    with pytest.raises(
        UsageError, match=r"contains other weights than .*; publish the new checkpoint in a separate repo"
    ):
        publish_checkpoint(REFERENCE_DIRECTORY, REPO)
    assert len(hub.history(REPO, "model")) == 1


def test_results_with_failures_are_on_no_published_card(hub, ann, tasks):  # noqa: F811
    result = result_of({**tasks, "task2": failed(tasks["task2"])})
    with pytest.raises(IncompleteError, match=r"1 structures of task2 of org/model failed, the first OH-2-H"):
        publish_checkpoint(REFERENCE_DIRECTORY, REPO, [result])
    assert hub.log == []


def test_a_checkpoint_that_does_not_load_is_not_published(hub, ann, tmp_path):
    broken = shutil.copytree(REFERENCE_DIRECTORY, tmp_path / "broken")
    (broken / WEIGHTS_FILE).write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"model\.safetensors cannot be read"):
        publish_checkpoint(broken, REPO)
    assert hub.log == []


def test_nobody_is_told_to_log_in(hub):
    with pytest.raises(SetupError, match="publishing needs a login"):
        publish_checkpoint(REFERENCE_DIRECTORY, REPO)


def test_an_id_that_is_none_is_refused():
    with pytest.raises(UsageError, match="'painn' is not a valid Hub id"):
        publish_checkpoint(REFERENCE_DIRECTORY, "painn")


def test_a_failed_upload_leaves_nothing_half_done(hub, ann, no_waiting):
    hub.order(Fault(method="POST", path="/commit/", status=500, times=99))
    with pytest.raises(SetupError, match="status 500"):
        publish_checkpoint(REFERENCE_DIRECTORY, REPO, options=PublishOptions(private=True))
    assert WEIGHTS_FILE not in hub.files(REPO, "model")


def test_the_command_says_where_it_is(hub, ann, capsys):
    assert main(["publish", str(REFERENCE_DIRECTORY), REPO]) == 0
    first = capsys.readouterr().out
    assert f"{hub.endpoint}/{REPO}/commit/" in first
    assert f"python -m harness --model {REPO}@" in first
    assert main(["publish", str(REFERENCE_DIRECTORY), REPO]) == 0
    assert f"{REPO} already contains this checkpoint" in capsys.readouterr().out
