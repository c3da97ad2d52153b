import dataclasses
import hashlib
import re
import shutil

import pyarrow.parquet as pq
import pytest
import yaml

from dataset_builders.certify.audit import certify
from dataset_builders.cli import main
from dataset_builders.core.errors import CertificateError, DataError, SetupError, UsageError
from dataset_builders.publish import published_edition
from dataset_builders.publish.publish_folder import PublishRequest, plan_publication, publish
from tests.dataset_builders.synthetic_folder import edit_rows, path_of, write_folder
from tests.loopback_hub import Fault

REPO = "compgen/small"
ELSEWHERE = "https://example.org/code"
OURS = ("README.md", "tasks.png", "LICENSE.md", "eval.yaml")
UPLOADS = r"/(preupload|commit)/|/lfs/|/objects/batch|/repos/create|/tag/"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A certified folder with one configuration."""
    return write_folder(tmp_path_factory.mktemp("publish") / "task2")


reports = {}


def certified_once(directory):
    """What `certify` says of a folder, once for the same files and without geometry: half the time of this file."""
    files = {path: hashlib.sha256(content).hexdigest() for path, content in all_files(directory).items()}
    known = tuple(sorted(files.items()))
    if known not in reports:
        reports[known] = certify(directory, with_geometry=False)
    return dataclasses.replace(reports[known], directory=directory)


@pytest.fixture(autouse=True)
def each_folder_is_certified_once(monkeypatch):
    monkeypatch.setattr(published_edition, "certify", certified_once)


@pytest.fixture
def ours(hub, no_waiting):
    """A Hub with somebody logged in who may write to the organisation."""
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")
    return hub


@pytest.fixture(autouse=True)
def quiet():
    import datasets

    datasets.disable_progress_bars()


def request_of(directory, **options):
    return PublishRequest(directory, REPO, **options)


def all_files(directory):
    files = (path for path in directory.rglob("*") if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in files}


def local_files(directory):
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in directory.glob("*/*.parquet")}


def writes_of(hub, since=0):
    return [each for each in hub.log[since:] if re.search(UPLOADS, each.path)]


def front_matter_of(card):
    return yaml.safe_load(card.decode().split("---\n")[1])


def test_everything_goes_up_in_one_commit(ours, folder):
    published = publish(request_of(folder, tag="v1.0", source_url=ELSEWHERE))
    first, *before = ours.history(REPO, "dataset")
    assert len(before) == 1  # what the Hub itself puts into a new repo
    assert (first.sha, first.author) == (published.committed.commit, "ann")
    assert first.title == "Publish edition 5/5/5/5 (task2)"
    files = ours.files(REPO, "dataset")
    assert {path: files[path] for path in files if path.endswith(".parquet")} == local_files(folder)
    assert set(files) == {*OURS, *local_files(folder), *before[0].files}
    assert ours.tags(REPO, "dataset") == {"v1.0": first.sha}
    assert f'load_dataset("{REPO}", "task2")' in files["README.md"].decode()
    assert f"Source code: <{ELSEWHERE}>" in files["README.md"].decode()


def test_the_result_says_where_it_is_and_how_to_use_it(ours, folder):
    published = publish(request_of(folder, tag="v1.0"))
    text = published.text()
    assert text.startswith(f"published data set {REPO}\n")
    assert f"page:    {ours.endpoint}/datasets/{REPO}\n" in text
    assert f"commit:  {published.committed.commit}\n" in text
    assert "tag:     v1.0\n" in text
    assert re.search(r"files:   8 files \(\d+\.\d kB\): 8 added, 0 changed, 0 unchanged; 0 removed\n", text)
    assert text.endswith(f'load_dataset("{REPO}", "task2")\npython -m harness --model MODEL --dataset {REPO}@v1.0')


def test_without_a_tag_the_result_pins_the_commit(ours, folder):
    published = publish(request_of(folder))
    assert published.text().endswith(f"--dataset {REPO}@{published.committed.commit}")
    assert ours.tags(REPO, "dataset") == {}


def test_unchanged_content_makes_no_commit(ours, folder):
    first = publish(request_of(folder, tag="v1.0"))
    again = publish(request_of(folder, tag="v1.0"))
    assert not again.committed.is_new
    assert again.committed.commit == first.committed.commit
    assert f"nothing changed in data set {REPO}: no new commit" in again.text()
    assert "8 unchanged" in again.text()
    assert len(ours.history(REPO, "dataset")) == 2


def test_the_picture_of_the_folder_is_published_as_it_is(ours, folder, tmp_path):
    """Another version of a library draws other bytes, and the tag of a published edition must not move for that."""
    publish(request_of(folder))
    drawn = ours.files(REPO, "dataset")["tasks.png"]
    assert drawn.startswith(b"\x89PNG")
    assert b"](tasks.png)" in ours.files(REPO, "dataset")["README.md"]
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "tasks.png").write_bytes(drawn + b"\0")
    published = publish(request_of(copy, tag="v1.0"))
    assert published.plan.difference.changed == ("tasks.png",)
    assert ours.files(REPO, "dataset")["tasks.png"] == drawn + b"\0"
    assert not publish(request_of(copy, tag="v1.0")).committed.is_new


def test_only_what_changed_goes_up(ours, folder, tmp_path):
    publish(request_of(folder))
    other = write_folder(tmp_path / "other")
    path = path_of(other, "task2", "validation")
    pq.write_table(pq.read_table(path), path, compression="zstd")
    since = len(ours.log)
    published = publish(request_of(other))
    assert published.plan.difference.changed == ("README.md", "task2/validation-00000-of-00001.parquet")
    assert ours.history(REPO, "dataset")[0].changed == published.plan.difference.changed
    assert sum(each.method == "PUT" for each in ours.log[since:]) == 1


def test_what_left_the_folder_leaves_the_repo_and_what_is_not_ours_stays(ours, folder):
    stale = {"task2/train-00000-of-00002.parquet", "task3/train-00000-of-00001.parquet", "task1-pbe/test_id-a.parquet"}
    foreign = {
        ".gitattributes",
        "NOTES.md",
        "task3/notes.txt",
        "task2/train.parquet",
        "other/train-00000-of-00001.parquet",
        "task9/train-00000-of-00001.parquet",
        "task3/figures/train-1.parquet",
    }
    ours.add_repo(REPO, "dataset", dict.fromkeys(stale | foreign, b"PAR1"))
    published = publish(request_of(folder, others="remove"))
    assert set(published.plan.difference.removed) == stale
    files = ours.files(REPO, "dataset")
    assert set(files) == foreign | set(OURS) | set(local_files(folder))
    assert all(files[path] == b"PAR1" for path in foreign)


OTHERS_CARD = """\
---
# a gate
extra_gated_prompt: |-
  You agree to
  be kind.
extra_gated_fields:
  Country: country
  I agree: checkbox
language: no
license: mit
viewer: "yes"
---
# Theirs
"""


def test_keys_of_others_stay_in_the_front_matter(ours, folder):
    ours.add_repo(REPO, "dataset", {"README.md": OTHERS_CARD.encode()})
    publish(request_of(folder))
    card = ours.files(REPO, "dataset")["README.md"]
    data = front_matter_of(card)
    assert data["extra_gated_prompt"] == "You agree to\nbe kind."
    assert data["extra_gated_fields"] == {"Country": "country", "I agree": "checkbox"}
    assert b"\nlanguage: no\n" in card
    assert b'\nviewer: "yes"\n' in card
    assert data["license"] == "cc-by-4.0"
    assert b"# Theirs" not in card
    again = publish(request_of(folder))
    assert not again.committed.is_new


def test_a_card_that_cannot_be_read_is_named(ours, folder):
    ours.add_repo(REPO, "dataset", {"README.md": b"---\na: [\n---\n"})
    with pytest.raises(DataError, match=r"README\.md cannot be read .* correct it on the Hub"):
        publish(request_of(folder))
    assert len(ours.history(REPO, "dataset")) == 1


def test_an_uncertified_folder_uploads_nothing(ours, tmp_path):
    broken = write_folder(tmp_path / "broken")
    edit_rows(path_of(broken, "task2", "train"), lambda rows: rows[0].update(energy=float("nan")))
    with pytest.raises(CertificateError, match=r"(?s)nothing was published:.*not finite.*NOT certified"):
        publish(request_of(broken))
    assert ours.log == []


def test_a_file_that_readers_do_not_look_for_is_refused(ours, tmp_path):
    odd = write_folder(tmp_path / "odd")
    path_of(odd, "task2", "train").rename(odd / "task2" / "train.parquet")
    with pytest.raises(
        CertificateError, match=r"train\.parquet: a file that belongs to no split; expected SPLIT-\*\.parquet"
    ):
        publish(request_of(odd))


@pytest.mark.parametrize("earlier", ["compgen/earlier", "Compgen/SMALL"])
def test_an_earlier_id_leads_to_the_repo_of_today(ours, folder, earlier):
    ours.add_repo("compgen/earlier", "dataset", {})
    ours.rename("compgen/earlier", REPO, "dataset")
    plan = plan_publication(PublishRequest(folder, earlier))
    assert f"{earlier} is called {REPO} on the Hub" in plan.text()
    done = publish(PublishRequest(folder, earlier))
    assert f"published data set {REPO}\n" in done.text()
    assert f"{earlier} is called {REPO} on the Hub" in done.text()
    card = ours.files(REPO, "dataset")["README.md"].decode()
    assert REPO in card
    assert earlier not in card
    assert not publish(PublishRequest(folder, REPO)).committed.is_new


def test_without_a_login_nothing_is_tried(hub, folder):
    with pytest.raises(SetupError, match="publishing needs a login: run `hf auth login`"):
        publish(request_of(folder))
    assert hub.log == []


@pytest.mark.parametrize("repo_id", ["small", "a/b/c", "org/na me", "org/-name", "org/a--b"])
def test_ids_that_are_none(repo_id, tmp_path):
    with pytest.raises(UsageError, match=rf"{re.escape(repr(repo_id))} is not an id on the Hub"):
        publish(PublishRequest(tmp_path, repo_id))


@pytest.mark.parametrize("tag", ["v1 0", "main", "refs/tags/v1", "0123456789abcdef", "v1..2", "-v1", "v1.lock", ""])
def test_tags_that_are_none(tag, tmp_path):
    with pytest.raises(UsageError, match="not a valid tag; expected"):
        publish(PublishRequest(tmp_path, REPO, tag=tag))


def test_a_private_repo_is_made_private(ours, folder):
    publish(request_of(folder, private=True))
    from huggingface_hub import HfApi

    assert HfApi().dataset_info(REPO).private
    publish(request_of(folder))
    assert HfApi().dataset_info(REPO).private


def test_a_public_repo_does_not_become_private(ours, folder):
    ours.add_repo(REPO, "dataset")
    with pytest.raises(UsageError, match="is already public; omit --private"):
        publish(request_of(folder, private=True))
    assert writes_of(ours) == []


def test_a_tag_on_other_files_is_refused_before_anything_goes_up(ours, folder):
    publish(request_of(folder, tag="v1.0"))
    before, since = ours.history(REPO, "dataset"), len(ours.log)
    with pytest.raises(UsageError, match=r"tag v1\.0 .* has other files .* choose a new one with --revision-tag"):
        publish(request_of(folder, tag="v1.0", source_url=ELSEWHERE))
    assert writes_of(ours, since) == []
    assert ours.history(REPO, "dataset") == before
    published = publish(request_of(folder, tag="v1.1", source_url=ELSEWHERE))
    assert ours.tags(REPO, "dataset") == {"v1.0": before[0].sha, "v1.1": published.committed.commit}


def test_a_tag_on_the_same_files_is_enough(ours, folder):
    first = publish(request_of(folder, tag="v1.0"))
    publish(request_of(folder, source_url=ELSEWHERE))
    again = publish(request_of(folder, tag="v1.0"))
    assert again.committed.commit == first.committed.commit
    assert "main has other files; to replace them, publish without --revision-tag" in again.text()
    assert f'load_dataset("{REPO}", "task2", revision="v1.0")' in again.text()
    assert ELSEWHERE in ours.files(REPO, "dataset")["README.md"].decode()


def test_somebody_elses_note_after_the_tag_changes_nothing(ours, folder):
    first = publish(request_of(folder, tag="v1.0"))
    ours.commit(REPO, "dataset", {"NOTES.md": b"mine"})
    again = publish(request_of(folder, tag="v1.0"))
    assert not again.committed.is_new
    assert ours.tags(REPO, "dataset") == {"v1.0": first.committed.commit}


def test_a_tag_can_be_set_later(ours, folder):
    first = publish(request_of(folder))
    again = publish(request_of(folder, tag="v1.0"))
    assert not again.committed.is_new
    assert ours.tags(REPO, "dataset") == {"v1.0": first.committed.commit}


def test_a_tag_that_fails_leaves_the_commit_and_the_same_command_goes_on(ours, folder):
    ours.order(Fault(method="POST", path="/tag/", status=403))
    with pytest.raises(
        SetupError, match=r"commit \w{40} is on main .* tag v1\.0 is not set.*same command again to set the tag"
    ):
        publish(request_of(folder, tag="v1.0"))
    head = ours.history(REPO, "dataset")[0].sha
    assert ours.tags(REPO, "dataset") == {}
    again = publish(request_of(folder, tag="v1.0"))
    assert not again.committed.is_new
    assert ours.tags(REPO, "dataset") == {"v1.0": head}


@pytest.mark.parametrize("fault", [{"truncate": 0}, {"cut": True}, {"status": 429, "retry_after": 3}])
def test_a_tag_is_tried_again(ours, folder, fault, no_waiting):
    ours.order(Fault(method="POST", path="/tag/", **fault))
    published = publish(request_of(folder, tag="v1.0"))
    assert ours.tags(REPO, "dataset") == {"v1.0": published.committed.commit}
    assert no_waiting


def test_a_tag_that_somebody_else_sets_meanwhile_is_named(ours, folder):
    sha = ours.add_repo(REPO, "dataset")
    from huggingface_hub import HfApi

    ours.order(
        Fault(
            method="POST",
            path="/tag/",
            before=lambda: HfApi().create_tag(REPO, tag="v1.0", revision=sha, repo_type="dataset"),
        )
    )
    with pytest.raises(SetupError, match=rf"tag v1\.0 is not set: somebody else set it on commit {sha}"):
        publish(request_of(folder, tag="v1.0"))


def test_a_pull_request_leaves_main_alone(hub, folder, no_waiting):
    hub.add_repo(REPO, "dataset")
    hub.add_user("bob")
    hub.log_in("bob")
    published = publish(request_of(folder, create_pr=True))
    (opened,) = hub.pull_requests(REPO, "dataset")
    assert (opened.author, opened.title) == ("bob", "Publish edition 5/5/5/5 (task2)")
    assert len(hub.history(REPO, "dataset")) == 1
    assert set(local_files(folder)) <= set(hub.files(REPO, "dataset", "refs/pr/1"))
    assert published.text().startswith(f"opened or extended pull request 1 of data set {REPO}\n")
    assert f"page:    {hub.endpoint}/datasets/{REPO}/discussions/1" in published.text()
    assert f'load_dataset("{REPO}", "task2", revision="refs/pr/1")' in published.text()


def test_the_same_pull_request_is_found_again_and_brought_up_to_date(ours, folder):
    ours.add_repo(REPO, "dataset")
    publish(request_of(folder, create_pr=True))
    again = publish(request_of(folder, create_pr=True))
    assert (again.committed.is_new, again.committed.pull_request) == (False, 1)
    changed = publish(request_of(folder, create_pr=True, source_url=ELSEWHERE))
    assert (changed.committed.is_new, changed.committed.pull_request) == (True, 1)
    assert b"example.org" in ours.files(REPO, "dataset", "refs/pr/1")["README.md"]
    assert len(ours.pull_requests(REPO, "dataset")) == 1


def test_a_lost_answer_does_not_open_a_second_pull_request(ours, folder):
    ours.add_repo(REPO, "dataset")
    ours.order(Fault(method="POST", path="/commit/", truncate=0))
    with pytest.raises(SetupError, match="cannot be fetched from the Hub"):
        publish(request_of(folder, create_pr=True))
    assert publish(request_of(folder, create_pr=True)).committed.pull_request == 1
    assert len(ours.pull_requests(REPO, "dataset")) == 1


def test_a_pull_request_needs_a_repo_and_takes_no_tag(ours, folder):
    with pytest.raises(DataError, match=rf"there is no data set {REPO} to open a pull request on"):
        publish(request_of(folder, create_pr=True))
    with pytest.raises(UsageError, match=r"--revision-tag v1\.0 with --create-pr.*after merging"):
        publish(request_of(folder, create_pr=True, tag="v1.0"))
    with pytest.raises(UsageError, match="omit --private"):
        publish(request_of(folder, create_pr=True, private=True))
    assert writes_of(ours) == []


def test_a_dry_run_writes_nothing_where_there_is_no_repo(hub, folder):
    text = plan_publication(request_of(folder, tag="v1.0")).text()
    assert re.search(r"^added +\d+\.\d kB  task2/train-00000-of-00001\.parquet$", text, re.MULTILINE)
    assert "8 added" in text
    assert "would be created (public), with one commit, and tag v1.0 would be set on it" in text
    assert {each.method for each in hub.log} <= {"GET", "HEAD"}
    with pytest.raises(KeyError):
        hub.files(REPO, "dataset")


def test_a_dry_run_names_every_file(ours, folder):
    publish(request_of(folder, tag="v1.0"))
    ours.commit(REPO, "dataset", {"task3/test_id-0.parquet": b"PAR1"}, deletions=["eval.yaml"])
    since = len(ours.log)
    text = plan_publication(request_of(folder, source_url=ELSEWHERE)).text()
    assert re.search(r"^added .*  eval\.yaml$", text, re.MULTILINE)
    assert re.search(r"^changed +\d+\.\d kB  README\.md$", text, re.MULTILINE)
    assert re.search(r"^unchanged +\d+ bytes  LICENSE\.md$", text, re.MULTILINE)
    assert re.search(r"^removed +task3/test_id-0\.parquet$", text, re.MULTILINE)
    assert "one commit on main" in text
    with pytest.raises(UsageError, match=r"tag v1\.0 .* has other files"):
        plan_publication(request_of(folder, tag="v1.0", source_url=ELSEWHERE))
    assert "v1.0 at" in plan_publication(request_of(folder, tag="v1.0")).text()
    assert writes_of(ours, since) == []


def test_the_framework_of_eval_yaml_is_given_or_kept(ours, folder):
    ours.allow_list(REPO)
    publish(request_of(folder, evaluation_framework="inspect-ai"))
    assert yaml.safe_load(ours.files(REPO, "dataset")["eval.yaml"])["evaluation_framework"] == "inspect-ai"
    assert not publish(request_of(folder)).committed.is_new


UNKNOWN_TOKEN = {"status": 401, "message": "Invalid credentials in Authorization header"}


@pytest.mark.parametrize(
    ("path", "fault", "message"),
    [
        ("/commit/", UNKNOWN_TOKEN, "does not accept your token"),
        ("/commit/", {"status": 403}, "your token does not permit this on data set .*use one that does"),
        ("/commit/", {"status": 429, "times": 99}, "the Hub limits the rate"),
        ("/commit/", {"status": 500, "times": 99}, "the Hub failed on data set .* with status 500"),
        ("/commit/", {"cut": True, "times": 99}, "cannot be fetched from the Hub: .*try again"),
        ("/commit/", {"status": 400, "message": "task_id is wrong"}, "sent to data set .* invalid: .*task_id is wrong"),
        ("/validate-yaml", {"status": 400}, "sent to data set .* invalid: Invalid metadata in README"),
        ("/objects/batch", {"status": 403}, "your token does not permit this"),
        ("/lfs/", {"status": 403}, "your token does not permit this"),
        ("/lfs/", {"cut": True, "times": 999}, "cannot be fetched from the Hub: .*try again"),
        ("/tree/", {"status": 500, "times": 99}, "with status 500"),
    ],
)
def test_a_fault_that_stays_is_one_error_and_changes_nothing(ours, folder, path, fault, message):
    ours.add_repo(REPO, "dataset", {"NOTES.md": b"mine"})
    before = ours.history(REPO, "dataset")
    ours.order(Fault(path=path, **fault))
    with pytest.raises((DataError, SetupError), match=message):
        publish(request_of(folder, tag="v1.0"))
    assert ours.history(REPO, "dataset") == before
    assert ours.tags(REPO, "dataset") == {}


def test_a_wait_of_a_day_is_not_waited_for(ours, folder, no_waiting):
    ours.order(Fault(method="POST", path="/commit/", status=429, retry_after=86400))
    with pytest.raises(SetupError, match="the Hub limits the rate"):
        publish(request_of(folder))
    assert no_waiting == []


@pytest.mark.parametrize(
    ("method", "path", "fault"),
    [
        ("POST", "/commit/", {"status": 500}),
        ("POST", "/commit/", {"status": 429, "retry_after": 7}),
        ("POST", "/commit/", {"cut": True}),
        ("POST", "/commit/", {"truncate": 0}),
        ("POST", "/preupload/", {"status": 503}),
        ("POST", "/objects/batch", {"status": 429, "retry_after": 7}),
        ("PUT", "/lfs/", {"cut": True}),
        ("PUT", "/lfs/", {"status": 500, "after": 2}),
        ("POST", "/repos/create", {"truncate": 0}),
        ("GET", "/tree/", {"status": 502}),
        ("POST", "/validate-yaml", {"status": 500}),
    ],
)
def test_a_fault_that_passes_ends_in_one_whole_commit(ours, folder, method, path, fault, no_waiting):
    ours.order(Fault(method=method, path=path, **fault))
    published = publish(request_of(folder, tag="v1.0"))
    first, *before = ours.history(REPO, "dataset")
    assert len(before) == 1
    assert published.committed.is_new
    assert ours.tags(REPO, "dataset") == {"v1.0": first.sha}
    assert set(local_files(folder)) | set(OURS) <= set(first.files)
    assert max(no_waiting) >= fault.get("retry_after", 0.5)


def test_an_upload_that_broke_off_is_not_sent_again(ours, folder):
    # One fault: the client may give up before a second one is met, which would then strike the second call.
    ours.order(Fault(method="PUT", path="/lfs/", status=403, after=2))
    with pytest.raises(SetupError, match="your token does not permit this on data set"):
        publish(request_of(folder))
    assert len(ours.history(REPO, "dataset")) == 1
    assert publish(request_of(folder)).committed.is_new
    sent = [each.path for each in ours.log if each.method == "PUT" and each.status == 200]
    assert len(sent) == len(set(sent)) == 5  # four Parquet files and the picture


def test_a_strangers_commit_in_between_is_kept(ours, folder):
    ours.add_repo(REPO, "dataset")
    card = b"---\nextra_gated_heading: Kindly\n---\n"
    ours.order(
        Fault(
            method="POST",
            path="/commit/",
            before=lambda: ours.commit(REPO, "dataset", {"NOTES.md": b"mine", "README.md": card}),
        )
    )
    published = publish(request_of(folder, tag="v1.0"))
    files = ours.files(REPO, "dataset")
    assert files["NOTES.md"] == b"mine"
    assert front_matter_of(files["README.md"])["extra_gated_heading"] == "Kindly"
    assert [each.author for each in ours.history(REPO, "dataset")][:2] == ["ann", "stranger"]
    assert ours.tags(REPO, "dataset") == {"v1.0": published.committed.commit}


def test_files_that_a_gitignore_swallows_are_named(ours, folder):
    ours.add_repo(REPO, "dataset", {".gitignore": b"*.parquet\n"})
    with pytest.raises(SetupError, match=r"lacks files of this publication .*train-.*\.gitignore"):
        publish(request_of(folder, tag="v1.0"))
    assert ours.tags(REPO, "dataset") == {}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certified folder with two configurations."""
    return write_folder(tmp_path_factory.mktemp("publish") / "pair", ("task2", "task3"))


@pytest.fixture(scope="module")
def newer(tmp_path_factory, folder):
    """The folder with one configuration, with other bytes."""
    other = write_folder(tmp_path_factory.mktemp("publish") / "newer")
    path = path_of(other, "task2", "validation")
    pq.write_table(pq.read_table(path), path, compression="zstd")
    return other


def configs_of_card(card):
    return [config["config_name"] for config in front_matter_of(card)["configs"]]


def configs_of_eval(text):
    return list(dict.fromkeys(task["config"] for task in yaml.safe_load(text)["tasks"]))


@pytest.mark.parametrize("create_pr", [False, True])
def test_a_part_of_the_tasks_deletes_the_others_only_where_that_is_asked_for(ours, folder, pair, create_pr):
    publish(request_of(pair))
    before, since = ours.history(REPO, "dataset"), len(ours.log)
    with pytest.raises(
        UsageError,
        match=rf"nothing was published: data set {REPO} has task3, which .* does not have\. --keep-others keeps them "
        r".*--remove deletes them",
    ):
        publish(request_of(folder, create_pr=create_pr))
    assert writes_of(ours, since) == []
    assert ours.history(REPO, "dataset") == before
    assert ours.pull_requests(REPO, "dataset") == []


@pytest.mark.parametrize(
    "path", ["task4/test_id-0.parquet", "task2-wb97x/train-00000-of-00001.parquet", "task1-pbe/train-0.parquet"]
)
def test_a_configuration_of_another_task_or_level_is_named_before_it_goes(ours, folder, path):
    ours.add_repo(REPO, "dataset", {path: b"PAR1"})
    with pytest.raises(UsageError, match=rf"has {path.partition('/')[0]}, which"):
        publish(request_of(folder))
    assert ours.files(REPO, "dataset")[path] == b"PAR1"


def test_a_file_more_of_a_configuration_that_is_published_goes_without_a_question(ours, folder):
    ours.add_repo(REPO, "dataset", {"task2/train-00000-of-00002.parquet": b"PAR1"})
    published = publish(request_of(folder))
    assert published.plan.difference.removed == ("task2/train-00000-of-00002.parquet",)


@pytest.mark.parametrize("create_pr", [False, True])
def test_the_others_are_kept_and_card_and_lists_are_of_all(ours, pair, newer, create_pr):
    publish(request_of(pair))
    before = ours.files(REPO, "dataset")
    published = publish(request_of(newer, others="keep", create_pr=create_pr))
    after = ours.files(REPO, "dataset", "refs/pr/1" if create_pr else "main")
    assert set(after) == set(before)
    changed = {path for path in after if after[path] != before[path]}
    assert changed == {"README.md", "task2/validation-00000-of-00001.parquet"} == set(published.plan.difference.changed)
    assert configs_of_card(after["README.md"]) == ["task2", "task3"]
    assert configs_of_eval(after["eval.yaml"]) == ["task2", "task3"]
    assert "kept:    task3\n" in published.text()
    assert ours.history(REPO, "dataset", "refs/pr/1" if create_pr else "main")[0].title.endswith("(task2)")
    again = publish(request_of(newer, others="keep", create_pr=create_pr))
    assert not again.committed.is_new


def test_a_kept_configuration_can_be_read_and_certified_from_the_repo(ours, pair, newer):
    from datasets import load_dataset

    publish(request_of(pair))
    publish(request_of(newer, others="keep", tag="v1.1"))
    counts = {"train": 140, "validation": 140, "test_id": 140, "test_ood": 150}
    assert {split: rows.num_rows for split, rows in load_dataset(REPO, "task3", revision="v1.1").items()} == counts
    again = publish(request_of(newer, others="keep", tag="v1.1"))
    assert not again.committed.is_new


def test_removing_takes_them_from_files_card_and_lists(ours, folder, pair):
    publish(request_of(pair))
    publish(request_of(folder, others="remove"))
    files = ours.files(REPO, "dataset")
    assert {path for path in files if path.endswith(".parquet")} == set(local_files(folder))
    assert configs_of_card(files["README.md"]) == configs_of_eval(files["eval.yaml"]) == ["task2"]


def test_a_dry_run_says_what_would_become_of_the_others(ours, folder, pair):
    publish(request_of(pair))
    since = len(ours.log)
    refused, kept, removed = (
        plan_publication(request_of(folder, others=others)).text() for others in ("refuse", "keep", "remove")
    )
    gone = r"^removed +task3/train-00000-of-00001\.parquet$"
    assert re.search(gone, refused, re.MULTILINE)
    assert f"but it would be refused: data set {REPO} has task3, which" in refused
    assert re.search(gone, removed, re.MULTILINE)
    assert "removed completely: task3" in removed
    assert "refused" not in kept + removed
    assert not re.search(gone, kept, re.MULTILINE)
    assert "kept unchanged: task3" in kept
    assert re.search(r"^unchanged .* task3/train-00000-of-00001\.parquet$", kept, re.MULTILINE)
    assert writes_of(ours, since) == []


def test_others_that_are_not_certified_are_not_vouched_for(ours, pair, newer, tmp_path):
    publish(request_of(pair))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(path_of(pair, "task3", "train").read_bytes())
    edit_rows(broken, lambda rows: rows[0].update(energy=float("nan")))
    ours.commit(REPO, "dataset", {"task3/train-00000-of-00001.parquet": broken.read_bytes()})
    before = ours.history(REPO, "dataset")
    with pytest.raises(CertificateError, match=r"\(task3\) do not pass together; .*(?s:.*)not finite"):
        publish(request_of(newer, others="keep"))
    assert ours.history(REPO, "dataset") == before


@pytest.mark.parametrize("others", ["refuse", "keep", "remove"])
@pytest.mark.parametrize("path", ["task3/train-00000-of-00001.parquet", "task4/train-00000-of-00001.parquet"])
def test_what_others_do_to_their_configurations_meanwhile_is_not_undone(ours, folder, pair, newer, others, path):
    publish(request_of(folder if others == "refuse" else pair))
    ours.order(
        Fault(method="POST", path="/commit/", before=lambda: ours.commit(REPO, "dataset", {path: b"PAR1 of others"}))
    )
    if others == "remove" and path.startswith("task3"):
        publish(request_of(newer, others=others))  # which was named, and shall go whatever it holds
        return
    with pytest.raises(
        SetupError, match=rf"{path[:5]} of data set {REPO} was changed by others meanwhile; nothing was"
    ):
        publish(request_of(newer, others=others))
    files = ours.files(REPO, "dataset")
    assert files[path] == b"PAR1 of others"
    assert (
        files["task2/validation-00000-of-00001.parquet"]
        == local_files(folder)["task2/validation-00000-of-00001.parquet"]
    )


def test_the_command_line_asks_what_becomes_of_the_others(ours, folder, pair, capsys):
    assert main(["publish", str(pair), REPO]) == 0
    assert main(["publish", str(folder), REPO]) == 2
    assert "has task3, which" in capsys.readouterr().err
    assert main(["publish", str(folder), REPO, "--keep-others", "--dry-run"]) == 0
    assert "kept unchanged: task3" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["publish", str(folder), REPO, "--keep-others", "--remove"])
    assert main(["publish", str(folder), REPO, "--remove"]) == 0
    assert configs_of_card(ours.files(REPO, "dataset")["README.md"]) == ["task2"]


def test_a_copy_that_lacks_rows_is_refused_by_the_client(ours, folder, tmp_path):
    from datasets import load_dataset
    from datasets.exceptions import NonMatchingSplitsSizesError

    publish(request_of(folder, tag="v1.0"))
    assert load_dataset(REPO, "task2")["train"].num_rows == 180
    path = path_of(folder, "task2", "train")
    pq.write_table(pq.read_table(path).slice(1), tmp_path / "short.parquet")
    name = path.relative_to(folder).as_posix()
    ours.commit(REPO, "dataset", {name: (tmp_path / "short.parquet").read_bytes()})
    with pytest.raises(NonMatchingSplitsSizesError, match="num_examples=180"):
        load_dataset(REPO, "task2")
    assert load_dataset(REPO, "task2", revision="v1.0")["train"].num_rows == 180
