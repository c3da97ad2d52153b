"""Publishes a data-set folder on the Hub: certified first, in one commit, under a fixed tag.

Publication is one commit, so readers see all of it or nothing. Large files are uploaded before the commit; after an
interruption they remain in the Hub's store, invisible, and are not uploaded again. So the same code serves editions of
a few MB and of several hundred MB.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dataset_builders.core.errors import DataError, MlipOodError, SetupError, UsageError
from dataset_builders.core.hub.access import canonical, ensure_repo, head_of, is_logged_in, require_login
from dataset_builders.core.hub.commits import Change, CommitTarget, Committed, commit
from dataset_builders.core.hub.difference import Difference
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.core.hub.pull_requests import open_pull_requests
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import retried
from dataset_builders.publish.published_edition import PublishedEdition, certified_edition, with_configs_of_repo

_TAG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")
_CONFLICT: Final = 409


Others = Literal["refuse", "keep", "remove"]
"""Handling of configurations of the repo that are not in the folder."""


@dataclass(frozen=True, slots=True)
class PublishRequest:
    """What to publish, and where.

    Attributes:
        directory: The data-set folder.
        repo_id: `org/name` on the Hub; created if it does not exist.
        tag: Tag to set on the commit.
        private: Whether a new repo is private.
        create_pr: Whether to open a pull request instead of changing the repo.
        source_url: Address of the source code, for the card.
        evaluation_framework: For `eval.yaml`, a value of the Hub's list; `None` keeps the value in the repo.
        others: Whether configurations that are only in the repo are kept, removed, or a reason to refuse.
    """

    directory: Path
    repo_id: str
    tag: str | None = None
    private: bool = False
    create_pr: bool = False
    source_url: str | None = None
    evaluation_framework: str | None = None
    others: Others = "refuse"


@dataclass(frozen=True, slots=True)
class Plan:
    """Planned publication, after all checks that are possible in advance.

    Attributes:
        request: The request.
        repo: The repo.
        edition: The edition to publish.
        revision: Destination: `main`, your open pull request for the same edition, or the tag that already has these
            files.
        head: Commit of the revision; `None` if the repo does not exist.
        difference: Difference from the head.
        note: Further information for the user; may be empty.
    """

    request: PublishRequest
    repo: Repo
    edition: PublishedEdition
    revision: str
    head: str | None
    difference: Difference
    note: str = ""

    @property
    def lost(self) -> tuple[str, ...]:
        """Configurations of the repo that would be removed because they are not in the folder."""
        return self.edition.lost_in(self.difference)

    @property
    def is_tagged(self) -> bool:
        """Whether the tag already points to these files."""
        return self.revision == self.request.tag

    @property
    def naming(self) -> str:
        """A note if the repo has another id than the given one; empty otherwise."""
        given = self.request.repo_id
        return "" if given == self.repo.id else f"{given} is called {self.repo.id} on the Hub"

    def text(self) -> str:
        """The plan as text for the terminal."""
        tag = self.request.tag
        tagging = f", and tag {tag} would be set on it" if tag and not self.is_tagged else ""
        lines = [
            f"dry run for {self.repo}: nothing was written",
            "",
            *self.difference.lines(),
            "",
            self.difference.summary(),
            f"{self._what()}{tagging}",
            *filter(None, [self.note, self.naming, *self._about_others()]),
        ]
        return "\n".join(lines)

    def _about_others(self) -> list[str]:
        kept = [f"kept unchanged: {', '.join(self.edition.kept)}"] if self.edition.kept else []
        if not self.lost:
            return kept
        if self.request.others == "remove":
            return [*kept, f"removed completely: {', '.join(self.lost)}"]
        return [*kept, f"but it would be refused: {_loss(self, self.lost)}"]

    def _what(self) -> str:
        if self.head is None:
            visibility = "private" if self.request.private else "public"
            return f"the repo does not exist or you cannot read it: it would be created ({visibility}), with one commit"
        if not self.difference:
            return f"{self.revision} at {self.head} already has these files: no new commit"
        if self.request.create_pr and self.revision == MAIN:
            return "one commit in a new pull request"
        return f"one commit on {self.revision}"


@dataclass(frozen=True, slots=True)
class Published:
    """State of the Hub after publishing.

    Attributes:
        plan: The plan.
        committed: The commit with the files.
    """

    plan: Plan
    committed: Committed

    def text(self) -> str:
        """The result for the terminal: its address and how to use it."""
        plan, number = self.plan, self.committed.pull_request
        pull_request = f"refs/pr/{number}" if number else ""
        revision = pull_request or plan.request.tag or self.committed.commit
        pinned = f', revision="{revision}"' if pull_request or plan.note else ""
        done = f"opened or extended pull request {number} of {plan.repo}" if number else f"published {plan.repo}"
        lines = [
            done if self.committed.is_new else f"nothing changed in {plan.repo}: no new commit",
            f"page:    {self.committed.url if pull_request else plan.repo.url}",
            f"commit:  {self.committed.commit}",
            f"tag:     {plan.request.tag or 'none'}",
            f"files:   {plan.difference.summary()}",
            *([f"kept:    {', '.join(plan.edition.kept)}"] if plan.edition.kept else []),
            *filter(None, [plan.note, plan.naming]),
            "",
            f'load_dataset("{plan.repo.id}", "{plan.edition.example}"{pinned})',
            f"python -m harness --model MODEL --dataset {plan.repo.id}@{revision}",
        ]
        return "\n".join(lines)


def publish(request: PublishRequest) -> Published:
    """Publishes a folder: certifies it, commits what differs from the repo, and tags the commit.

    The same call resumes after an interruption, and does nothing if all is done.

    Raises:
        UsageError: If the id or the tag is invalid, options exclude each other, the tag points to other files, or the
            repo has configurations that are not in the folder and the request does not say how to handle them.
        CertificateError: If the folder is not certified; nothing is uploaded.
        DataError: If the folder cannot be read, or the Hub rejects a file as invalid.
        SetupError: If you are not logged in, the Hub cannot be reached, or it refuses access.
    """
    check_request(request)
    require_login("publishing")
    return carry_out(plan_publication(request))


def plan_publication(request: PublishRequest) -> Plan:
    """Certifies a folder and plans its publication; writes nothing.

    Raises:
        UsageError: If the id or the tag is invalid, options exclude each other, or the tag points to other files.
        CertificateError: If the folder is not certified.
        DataError: If the folder cannot be read, or there is no repo for a pull request.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    check_request(request)
    edition = certified_edition(request.directory, request.repo_id, request.source_url, request.evaluation_framework)
    repo = Repo(request.repo_id, "dataset")
    if not _exists(repo):
        if request.create_pr:
            raise DataError(f"there is no {repo} to open a pull request on; omit --create-pr to create it")
        return Plan(request, repo, edition, MAIN, None, edition.difference_at(repo, None))
    repo = canonical(repo)
    if repo.id != request.repo_id:
        # The card uses the current id of the repo, even if an earlier id of a renamed repo was given.
        edition = edition.named(repo.id)
    if request.private:
        ensure_repo(repo, private=True)
    head = head_of(repo)
    found = edition.difference_at(repo, head)
    if request.others == "keep" and (lost := edition.lost_in(found)):
        edition = with_configs_of_repo(edition, request.directory, repo, head, lost, request.source_url)
        found = edition.difference_at(repo, head)
    if request.tag and (tagged := _tagged_commit(repo, request.tag)):
        note = f"{MAIN} has other files; to replace them, publish without --revision-tag" if found else ""
        return Plan(request, repo, edition, request.tag, tagged, _checked_tag(edition, repo, request.tag, tagged), note)
    if request.create_pr and found and (number := _open_pull_request(repo, edition.message.title)):
        revision = f"refs/pr/{number}"
        head = head_of(repo, revision)
        return Plan(request, repo, edition, revision, head, edition.difference_at(repo, head))
    return Plan(request, repo, edition, MAIN, head, found)


def carry_out(plan: Plan) -> Published:
    """Carries out a plan.

    Raises:
        UsageError: If configurations of the repo would be removed without a request to do so.
        DataError: If the Hub rejects a file as invalid.
        SetupError: If the Hub cannot be reached or refuses access, or others keep changing the repo.
    """
    request, repo = plan.request, plan.repo
    if plan.head is not None and not plan.difference:
        pull_request = _pull_request_number(plan.revision)
        page = f"discussions/{pull_request}" if pull_request else f"commit/{plan.head}"
        committed = Committed(plan.head, False, f"{repo.url}/{page}", pull_request)
    else:
        if plan.head is None:
            ensure_repo(repo, private=request.private)
        if plan.lost and request.others != "remove":
            raise UsageError(f"nothing was published: {_loss(plan, plan.lost)}")
        target = CommitTarget(repo, plan.revision, create_pr=request.create_pr and plan.revision == MAIN)
        committed = commit(target, lambda head: _change_at(plan, head), plan.edition.message)
        _check_landed(plan, committed.commit)
    if request.tag and not plan.is_tagged:
        _set_tag(repo, committed.commit, request.tag)
    return Published(plan, committed)


def _loss(plan: Plan, lost: Sequence[str]) -> str:
    return (
        f"{plan.repo} has {', '.join(lost)}, which {plan.request.directory} does not have. --keep-others keeps them "
        "and downloads their files, since card and certificate cover the whole repo; --remove deletes them"
    )


def _change_at(plan: Plan, head: str) -> Change:
    """The change for a head, which others may have moved since planning.

    Raises:
        SetupError: If they changed configurations that the plan keeps, or added some that it would delete.
    """
    found = plan.edition.difference_at(plan.repo, head)
    touched = [
        config
        for config in dict.fromkeys(path.partition("/")[0] for path in (*found.added, *found.changed, *found.removed))
        if config in plan.edition.kept
    ]
    touched += [config for config in plan.edition.lost_in(found) if config not in plan.lost]
    before = plan.difference
    if touched and (found.added, found.changed, found.removed) != (before.added, before.changed, before.removed):
        raise SetupError(
            f"{', '.join(touched)} of {plan.repo} was changed by others meanwhile; nothing was published. Run the same "
            "command again to include the change"
        )
    return found.change


def check_request(request: PublishRequest) -> None:
    """Rejects requests that are invalid for any folder and repo.

    Raises:
        UsageError: If the id or the tag is invalid, or options exclude each other.
    """
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    if not is_repo_id(request.repo_id):
        raise UsageError(f"{request.repo_id!r} is not an id on the Hub; expected ORG/NAME")
    with explained(Repo(request.repo_id, "dataset")):
        validate_repo_id(request.repo_id)
    if request.create_pr and request.tag is not None:
        raise UsageError(
            f"--revision-tag {request.tag} with --create-pr: a tag marks a published state; set it after merging by "
            "the same command without --create-pr"
        )
    if request.create_pr and request.private:
        raise UsageError("--private applies to a new repo, but --create-pr needs an existing one: omit --private")
    if request.tag is not None and (not _TAG.fullmatch(request.tag) or _is_ambiguous(request.tag)):
        raise UsageError(
            f"--revision-tag {request.tag!r} is not a valid tag; expected letters, digits, dots, hyphens and "
            "underscores that are neither a branch nor a commit hash, such as v1.0"
        )


def _is_ambiguous(tag: str) -> bool:
    return tag == MAIN or _COMMIT.fullmatch(tag) is not None or ".." in tag or tag.endswith((".", ".lock"))


def _exists(repo: Repo) -> bool:
    from huggingface_hub import HfApi

    with explained(repo):
        return retried(lambda: HfApi().repo_exists(repo.id, repo_type=repo.kind))


def _tagged_commit(repo: Repo, tag: str) -> str | None:
    from huggingface_hub import HfApi

    with explained(repo):
        refs = retried(lambda: HfApi().list_repo_refs(repo.id, repo_type=repo.kind))
    return head_of(repo, tag) if tag in {ref.name for ref in refs.tags} else None


def _checked_tag(edition: PublishedEdition, repo: Repo, tag: str, tagged: str) -> Difference:
    """The difference from the files under the tag, which must be empty.

    Raises:
        UsageError: If they differ.
    """
    found = edition.difference_at(repo, tagged)
    if found:
        raise UsageError(
            f"tag {tag} of {repo} points to commit {tagged}, which has other files ({found.summary()}). Published "
            "tags do not move, since results refer to them: choose a new one with --revision-tag. Nothing was uploaded"
        )
    return found


def _open_pull_request(repo: Repo, title: str) -> int | None:
    """Number of your open pull request with this title, opened by an earlier call."""
    from huggingface_hub import HfApi

    if not is_logged_in():
        return None
    with explained(repo):
        author = str(retried(lambda: HfApi().whoami())["name"])
    return next(iter(open_pull_requests(repo, title, author)), None)


def _pull_request_number(revision: str) -> int | None:
    number = revision.removeprefix("refs/pr/")
    return int(number) if number != revision else None


def _check_landed(plan: Plan, commit_hash: str) -> None:
    # The client silently drops files that match a `.gitignore` of the repo.
    left = plan.edition.difference_at(plan.repo, commit_hash)
    if left:
        paths = ", ".join((*left.added, *left.changed, *left.removed))
        raise SetupError(
            f"commit {commit_hash} of {plan.repo} lacks files of this publication ({paths}): somebody changed "
            "it meanwhile, or a .gitignore of the repo excludes them. Check there, then run the same command again"
        )


def _set_tag(repo: Repo, commit_hash: str, tag: str) -> None:
    """Sets a tag.

    Raises:
        SetupError: If it cannot be set; the commit remains.
    """
    try:
        _create_tag(repo, commit_hash, tag)
    except MlipOodError as cause:
        raise SetupError(
            f"commit {commit_hash} is on {MAIN} of {repo} with all files, but tag {tag} is not set: {cause}. "
            "Run the same command again to set the tag"
        ) from cause


def _create_tag(repo: Repo, commit_hash: str, tag: str) -> None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    with explained(repo, commit_hash):
        try:
            retried(lambda: HfApi().create_tag(repo.id, tag=tag, revision=commit_hash, repo_type=repo.kind))
            return
        except HfHubHTTPError as cause:
            if cause.response.status_code != _CONFLICT:
                raise
    # The tag exists: the answer to an earlier try was lost, or somebody else set it.
    found = _tagged_commit(repo, tag)
    if found != commit_hash:
        raise UsageError(f"somebody else set it on commit {found} in the meantime; choose a new one")
