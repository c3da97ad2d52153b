"""Publishes the models of a method in one repo on the Hub, in the layout that `--method` reads."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from dataset_builders.core.errors import UsageError
from dataset_builders.core.hub.access import canonical, ensure_repo, require_login
from dataset_builders.core.hub.commits import Change, CommitTarget, Committed, Message, commit
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.markdown import code, plain
from dataset_builders.tasks.regions import TASKS, title_of
from harness.core.potential import LoadOptions
from harness.core.seed_folders import seed_of
from harness.core.training_record import RECORD_NAME
from harness.hub.download import Listing, list_files
from harness.method.claims import claim_of, require_consistent_claims
from harness.method.layout import look_here
from harness.method.source import Member, MethodSource, find_method
from harness.models.registry import load_potential
from harness.networks.checkpoint_format import CONFIG_FILE
from harness.trust.pickles import sha256_of
from model_cards.cards.model_card import CARD_PICTURE, CURVE_FILES
from model_cards.publishing.publish_checkpoint import PublishOptions, require_id
from model_cards.text.front_matter import CARD_PATH

_OF_CARDS: Final = (CARD_PATH, CARD_PICTURE)
"""Cards of single models, which are no part of a method."""

_SETTINGS: Final = ".json"
"""Suffixes of files that are not weights, which may change together with the card."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A model in the table of the card."""

    task: str
    seed: str
    family: str
    protocol: str


def is_method_folder(directory: Path) -> bool:
    """Whether a folder contains models of tasks and is not itself a checkpoint."""
    if not directory.is_dir() or (directory / CONFIG_FILE).is_file():
        return False
    return any(name in TASKS for name in look_here(directory)("").folders)


def publish_method(directory: Path, repo_id: str, options: PublishOptions) -> Committed:
    """Publishes the models of a method in one commit; a second call changes nothing.

    An existing card is kept. A repo with other weights or further models is refused, since they would
    count as part of the method.

    Args:
        directory: Folder with `task1/` to `task4/`, or some of them.
        repo_id: `org/name` on the Hub; created if it does not exist.
        options: Options for publishing.

    Raises:
        UsageError: If the id is invalid, the folder is not a method, a model was trained on another task than its
            folder names, or the repo has other models.
        DataError: If two models were trained differently.
        ModelError: If a folder has no checkpoint, or one of this project that does not load.
        SetupError: If you are not logged in, the Hub cannot be reached, or it refuses access.
    """
    require_id(repo_id)
    method = find_method(str(directory), [*TASKS])
    require_consistent_claims(method.members)
    files: dict[str, Path] = {}
    for member in method.members:
        if member.source.family.in_config:
            load_potential(member.source, LoadOptions(device="cpu"))
        files |= _files_of(member, directory)
    if method.file is not None:
        files[RECORD_NAME] = method.file
    hashes = {path: sha256_of(file) for path, file in files.items()}
    require_login("publishing")
    repo = Repo(repo_id, "model")
    ensure_repo(repo, private=options.private)
    repo = canonical(repo)

    def change_at(head: str) -> Change:
        present = list_files(repo, head)
        _require_no_others(present, hashes, directory)
        new: dict[str, bytes | Path] = dict(files)
        if CARD_PATH not in present.sha256:
            new[CARD_PATH] = method_card(method, repo.id).encode()
        return Change(new)

    message = Message("Add the models of the method", "One model for each task and seed, in the layout of `--method`.")
    return commit(CommitTarget(repo, create_pr=options.create_pr), change_at, message)


def method_card(method: MethodSource, repo_id: str) -> str:
    """The card of a method: its models, and the command that evaluates it.

    Args:
        method: The method.
        repo_id: Repo in which it is published.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("model_cards"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,
    )
    environment.filters |= {"plain": plain, "code": code}
    missing = [name for name in TASKS if name not in {member.task for member in method.members}]
    lines = [_line(member) for member in method.members]
    template = environment.get_template("method.md.jinja")
    return template.render(repo_id=repo_id, dataset_id=DATASET_ID, lines=lines, missing=missing)


def _line(member: Member) -> _Line:
    claim = claim_of(member)
    return _Line(
        task=f"{member.task} ({title_of(member.task, None)})",
        seed="–" if member.seed is None else str(member.seed),
        family=member.source.family.name,
        protocol="not stated" if claim is None or claim.protocol is None else claim.protocol,
    )


def _files_of(member: Member, root: Path) -> dict[str, Path]:
    """The files of a model, by their path in the repo."""
    source = member.source
    assert source.path is not None
    leaf = root / member.place
    found = member.files()
    if source.path.is_dir():
        found += [curve for name in CURVE_FILES if (curve := source.path / name).is_file()]
    files = {str(PurePosixPath(member.place, file.relative_to(leaf).as_posix())): file for file in found}
    if source.record is not None:
        files[source.record.relative_to(root).as_posix()] = source.record
    return files


def _require_no_others(present: Listing, hashes: dict[str, str], directory: Path) -> None:
    """Checks that a repo contains no other models."""
    for path, sha256 in hashes.items():
        if not path.endswith(_SETTINGS) and present.sha256.get(path) not in (None, sha256):
            raise UsageError(
                f"{present.repo} contains other weights than {directory} at {path}, and possibly results published for "
                "them; publish the new method in a separate repo"
            )
    for path in present.sha256:
        parts = PurePosixPath(path).parts
        if len(parts) > 1 and parts[0] in TASKS and path not in hashes and not path.endswith(_OF_CARDS):
            what = "/".join(parts[:2]) if seed_of(parts[1]) is not None else path
            raise UsageError(
                f"{present.repo} contains {what}, which {directory} does not, and which would be read as a model of "
                "the method; remove it there, or publish the method in a separate repo"
            )
