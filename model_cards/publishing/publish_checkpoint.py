"""Publishes a checkpoint of this project, with its card, as a model repo on the Hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dataset_builders.core.errors import UsageError
from dataset_builders.core.hub.access import canonical, ensure_repo, require_login
from dataset_builders.core.hub.commits import Change, CommitTarget, Committed, Message, commit
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.core.hub.repo import Repo
from harness.core.potential import LoadOptions
from harness.core.training_record import RECORD_NAME
from harness.hub.download import list_files
from harness.models.registry import load_potential
from harness.networks.checkpoint_format import CONFIG_FILE, WEIGHTS_FILE
from harness.results.result import RunResult
from harness.trust.pickles import sha256_of
from model_cards.cards.model_card import CARD_PICTURE, CURVE_FILES, card_picture, render_card
from model_cards.publishing.publishable import require_no_failures
from model_cards.text.front_matter import CARD_PATH


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """Options for publishing a checkpoint.

    Attributes:
        private: Whether a new repo is private.
        create_pr: Whether to open a pull request instead of changing the repo.
    """

    private: bool = False
    create_pr: bool = False


def publish_checkpoint(
    checkpoint: Path, repo_id: str, results: Sequence[RunResult] = (), options: PublishOptions = PublishOptions()
) -> Committed:
    """Publishes a checkpoint folder in one commit; a second call changes nothing.

    An existing card is kept, since it may contain pushed results; a new one comes with its picture. A repo with other
    weights is refused, since its results would appear beside weights on which they were not measured.

    Args:
        checkpoint: Folder with `config.json` and `model.safetensors`; it must load.
        repo_id: `org/name` on the Hub; created if it does not exist.
        results: Evaluations for the table on a new card, of this checkpoint and of others for comparison.
        options: Options for publishing.

    Raises:
        UsageError: If the id is invalid, the repo has other weights, or no result belongs to this checkpoint.
        IncompleteError: If structures failed in one of the results.
        ModelError: If the folder is not a checkpoint that loads.
        DataError: If the Hub finds a file invalid.
        SetupError: If you are not logged in, the Hub cannot be reached, or it refuses access.
    """
    require_id(repo_id)
    require_no_failures(results)
    load_potential(str(checkpoint), LoadOptions(device="cpu"))
    card = render_card(checkpoint, results, model_id=repo_id)
    require_login("publishing")
    repo = Repo(repo_id, "model")
    ensure_repo(repo, private=options.private)
    # The card uses the current id of the repo, even if an earlier id was given.
    repo = canonical(repo)
    card = card if repo.id == repo_id else render_card(checkpoint, results, model_id=repo.id)
    picture = card_picture(checkpoint, results)
    weights_hash = sha256_of(checkpoint / WEIGHTS_FILE)

    def change_at(head: str) -> Change:
        present = list_files(repo, head).sha256
        if present.get(WEIGHTS_FILE, weights_hash) != weights_hash:
            raise UsageError(
                f"{repo} contains other weights than {checkpoint}, and results published for them; publish the new "
                "checkpoint in a separate repo"
            )
        names = [
            name for name in (CONFIG_FILE, WEIGHTS_FILE, RECORD_NAME, *CURVE_FILES) if (checkpoint / name).is_file()
        ]
        files: dict[str, bytes | Path] = {name: checkpoint / name for name in names}
        if CARD_PATH not in present:
            # A picture without a card may be somebody's own.
            if CARD_PICTURE in present:
                raise UsageError(
                    f"{repo} contains {CARD_PICTURE} but no {CARD_PATH} that shows it; rename or remove that file, "
                    "since the card has its picture under this name"
                )
            files |= {CARD_PATH: card.encode(), CARD_PICTURE: picture}
        return Change(files)

    message = Message("Add the checkpoint", "Weights, settings and card of a checkpoint written by `harness train`.")
    return commit(CommitTarget(repo, create_pr=options.create_pr), change_at, message)


def require_id(repo_id: str) -> None:
    """Checks the id of a repo.

    Raises:
        UsageError: If the id is invalid.
    """
    if not is_repo_id(repo_id):
        raise UsageError(f"{repo_id!r} is not a valid Hub id; expected org/name")
