import io
import logging

import pytest

from dataset_builders.core.errors import DataError, MlipOodError, SetupError, UsageError
from dataset_builders.core.hub.access import ensure_repo, head_of
from dataset_builders.core.hub.commits import Change, CommitTarget, Message, commit
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried
from tests.loopback_hub import Fault

REPO = Repo("compgen/model", "model")
MESSAGE = Message("Add a file", "It was missing.")


@pytest.fixture
def repo(hub):
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.add_user("stranger")
    hub.log_in("ann")
    return hub.add_repo(REPO.id, files={"README.md": b"# A model\n", "old.txt": b"old"})


def adding(path="new.txt", content=b"new"):
    return lambda head: Change({path: content})


def test_a_commit_adds_and_deletes_in_one_step(hub, repo):
    done = commit(CommitTarget(REPO), lambda head: Change({"new.txt": b"new"}, ("old.txt",)), MESSAGE)
    assert done.is_new
    assert done.url == f"{hub.endpoint}/compgen/model/commit/{done.commit}"
    newest, first = hub.history(REPO.id, "model")
    assert (newest.sha, first.sha) == (done.commit, repo)
    assert newest.title == "Add a file"
    assert set(hub.files(REPO.id, "model")) == {"README.md", "new.txt"}


def test_a_large_file_comes_from_disk(hub, repo, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(bytes(range(256)) * 10_000)
    commit(CommitTarget(REPO), lambda head: Change({"weights.safetensors": path}), MESSAGE)
    assert hub.files(REPO.id, "model")["weights.safetensors"] == path.read_bytes()


def test_what_is_there_already_makes_no_commit(hub, repo):
    first = commit(CommitTarget(REPO), adding(), MESSAGE)
    second = commit(CommitTarget(REPO), adding(), MESSAGE)
    assert (second.commit, second.is_new) == (first.commit, False)
    assert len(hub.history(REPO.id, "model")) == 2


def test_a_pull_request_leaves_the_branch_alone(hub, repo):
    opened = commit(CommitTarget(REPO, create_pr=True), adding(), MESSAGE)
    assert opened.is_new
    assert opened.url == f"{hub.endpoint}/compgen/model/discussions/{opened.pull_request}"
    assert head_of(REPO) == repo
    revision = f"refs/pr/{opened.pull_request}"
    again = commit(CommitTarget(REPO, revision), adding(), MESSAGE)
    assert (again.is_new, again.pull_request) == (False, opened.pull_request)
    assert hub.files(REPO.id, "model", revision=revision)["new.txt"] == b"new"


def test_neither_side_of_a_conflict_is_lost(hub, repo):
    def append_at(head):
        return Change({"old.txt": hub.files(REPO.id, "model", revision=head)["old.txt"] + b" and ours"})

    hub.order(
        Fault(
            method="POST", path="/commit/", before=lambda: hub.commit(REPO.id, "model", {"old.txt": b"old and theirs"})
        )
    )
    done = commit(CommitTarget(REPO), append_at, MESSAGE)
    assert done.is_new
    assert hub.files(REPO.id, "model")["old.txt"] == b"old and theirs and ours"
    assert len(hub.history(REPO.id, "model")) == 3


def test_a_repo_that_never_rests_is_given_up(hub, repo):
    hub.order(Fault(method="POST", path="/commit/", status=412, times=99))
    with pytest.raises(SetupError, match="was changed by others 5 times in a row; try again later"):
        commit(CommitTarget(REPO), adding(), MESSAGE)
    assert len(hub.history(REPO.id, "model")) == 1


def test_a_commit_whose_answer_was_lost_counts_once(hub, repo, no_waiting):
    hub.order(Fault(method="POST", path="/commit/", truncate=5))
    done = commit(CommitTarget(REPO), adding(), MESSAGE)
    assert done.is_new
    assert len(hub.history(REPO.id, "model")) == 2


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path="/api/models/", status=429, retry_after=3),
        Fault(path="/api/models/", status=500),
        Fault(path="/api/models/", cut=True),
        Fault(method="POST", path="/preupload/", status=503),
        Fault(method="POST", path="/commit/", status=429, retry_after=3),
        Fault(method="POST", path="/commit/", status=500),
        Fault(method="POST", path="/commit/", cut=True),
    ],
    ids=lambda fault: f"{fault.method} {fault.path} {fault.status or 'cut'}",
)
def test_what_may_pass_is_tried_again(hub, repo, no_waiting, fault):
    hub.order(fault)
    assert commit(CommitTarget(REPO), adding(), MESSAGE).is_new
    assert len(hub.history(REPO.id, "model")) == 2
    if fault.retry_after:
        assert any(wait >= 3 for wait in no_waiting)


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Fault(method="POST", path="/commit/", status=401), SetupError, "does not accept your token"),
        (
            Fault(method="POST", path="/commit/", status=403),
            SetupError,
            "your token does not permit this on model compgen/model",
        ),
        (Fault(method="POST", path="/commit/", status=400), DataError, "sent to model compgen/model as invalid"),
        (Fault(method="POST", path="/commit/", status=500, times=99), SetupError, "failed on model .* status 500"),
        (Fault(method="POST", path="/commit/", status=429, times=99), SetupError, "limits the rate"),
        (Fault(method="POST", path="/commit/", cut=True, times=99), SetupError, "Check the network and try again"),
    ],
    ids=lambda value: str(getattr(value, "status", "")),
)
def test_what_does_not_pass_is_one_clear_error(hub, repo, no_waiting, fault, error, message):
    hub.order(fault)
    with pytest.raises(error, match=message):
        commit(CommitTarget(REPO), adding(), MESSAGE)
    assert len(hub.history(REPO.id, "model")) == 1
    assert set(hub.files(REPO.id, "model")) == {"README.md", "old.txt"}


def test_a_wait_that_is_too_long_is_not_waited_for(hub, repo, no_waiting):
    hub.order(Fault(path="/api/models/", status=429, retry_after=4000, times=99))
    with pytest.raises(SetupError, match="limits the rate"):
        head_of(REPO)
    assert no_waiting == []


def test_a_repo_is_made_once(hub, repo):
    new = Repo("compgen/new", "dataset")
    ensure_repo(new, private=True)
    ensure_repo(new, private=True)
    ensure_repo(new, private=False)
    assert head_of(new)
    with pytest.raises(UsageError, match=r"model compgen/model is already public; omit --private"):
        ensure_repo(REPO, private=True)


@pytest.mark.parametrize(
    ("repo_id", "revision", "error", "message"),
    [
        ("compgen/absent", "main", DataError, "there is no model compgen/absent on the Hub that you may read"),
        (REPO.id, "v9", DataError, "model compgen/model has no revision 'v9'"),
        ("not an id", "main", UsageError, "'not an id' is not an id on the Hub"),
    ],
)
def test_what_is_not_there_is_said(hub, repo, repo_id, revision, error, message):
    with pytest.raises(error, match=message):
        head_of(Repo(repo_id, "model"), revision)


def test_a_hub_that_is_not_there_is_said(no_waiting):
    with pytest.raises(SetupError, match=r"cannot be fetched from the Hub: .*Check the network"):
        head_of(REPO)


def test_errors_that_are_not_the_hub_s_pass_through():
    with pytest.raises(ZeroDivisionError), explained(REPO):
        retried(lambda: 1 // 0)


def test_no_error_or_warning_holds_the_token(hub, repo, no_waiting, caplog, monkeypatch):
    token = hub.add_user("eve", orgs={"compgen": "write"})
    hub.log_in("eve")
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger().addHandler(handler)
    try:
        for fault in (Fault(path="/commit/", status=500, times=99), Fault(path="/commit/", cut=True, times=99)):
            hub.order(fault)
            with pytest.raises(MlipOodError) as caught:
                commit(CommitTarget(REPO), adding(), MESSAGE)
            assert token not in str(caught.value)
            assert token not in repr(caught.value.__cause__)
    finally:
        logging.getLogger().removeHandler(handler)
    assert token not in stream.getvalue() + caplog.text
