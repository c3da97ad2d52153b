"""The files of a certified data-set folder for the Hub: Parquet files, card and picture, licence and `eval.yaml`."""

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from dataset_builders.card.dataset_card import card_facts, card_picture, card_text, example_config, license_text
from dataset_builders.card.eval_yaml import EVAL_FILE, configs_of, eval_yaml, evaluation_framework_of
from dataset_builders.card.metadata import count_rows, sizes_of, with_keys_of_others
from dataset_builders.card.task_picture import PICTURE
from dataset_builders.certify.audit import certify
from dataset_builders.certify.coverage import DataSetCertificate
from dataset_builders.core.errors import CertificateError
from dataset_builders.core.hub.commits import Message
from dataset_builders.core.hub.difference import Content, Difference, copy_of, difference, files_at, text_at
from dataset_builders.core.hub.repo import Repo
from dataset_builders.folder.configs import CONFIG, SPLIT_FILE, task_of_config
from dataset_builders.tasks.regions import TASKS, TaskName

README: Final = "README.md"
LICENSE: Final = "LICENSE.md"


@dataclass(frozen=True, slots=True)
class PublishedEdition:
    """A certified edition to publish.

    Attributes:
        parquet: Its Parquet files by path in the repo.
        card: The card.
        picture: The picture that it shows, PNG.
        licence: The licence.
        configs: Its configurations.
        evaluation_framework: For `eval.yaml`; `None` keeps the value in the repo.
        example: Configuration used in examples.
        message: Commit message.
        card_of: Creates the card for a repo id.
        kept: Configurations from the repo that stay unchanged.
    """

    parquet: Mapping[str, Path]
    card: str
    picture: bytes
    licence: str
    configs: tuple[str, ...]
    evaluation_framework: str | None
    example: str
    message: Message
    card_of: Callable[[str], str] = field(compare=False, repr=False)
    kept: tuple[str, ...] = ()

    def named(self, repo_id: str) -> "PublishedEdition":
        """The same edition for a repo with another id."""
        return replace(self, card=self.card_of(repo_id))

    def lost_in(self, found: Difference) -> tuple[str, ...]:
        """Configurations of the repo that would be removed completely because they are not in the folder."""
        configs = dict.fromkeys(path.partition("/")[0] for path in found.removed)
        return tuple(config for config in configs if config not in self.configs)

    def difference_at(self, repo: Repo, commit: str | None) -> Difference:
        """Difference from the files of a repo at a commit; from an empty repo if `None`."""
        present = files_at(repo, commit) if commit else {}
        card, framework = self.card, self.evaluation_framework
        own = {*TASKS, *(task_of_config(config) for config in self.configs)}
        if commit and README in present:
            card = with_keys_of_others(card, text_at(repo, commit, README))
        if commit and EVAL_FILE in present:
            text = text_at(repo, commit, EVAL_FILE)
            framework = framework or evaluation_framework_of(text)
            own |= {task_of_config(config) for config in configs_of(text)}
        files: dict[str, Content] = {
            README: card.encode(),
            PICTURE: self.picture,
            EVAL_FILE: eval_yaml(self.configs, framework).encode(),
            LICENSE: self.licence.encode(),
            **self.parquet,
        }
        return difference(files, present, is_ours=lambda path: _is_ours(path, own))


def certified_edition(
    directory: Path, repo_id: str, source_url: str | None = None, evaluation_framework: str | None = None
) -> PublishedEdition:
    """Certifies a folder and prepares its files for publication.

    Args:
        directory: The data-set folder.
        repo_id: Repo id, for the examples on the card.
        source_url: Address of the source code, for the card.
        evaluation_framework: For `eval.yaml`, a value of the Hub's list; `None` keeps the value in the repo.

    Raises:
        CertificateError: If it does not pass; the message contains the report.
        DataError: If the folder cannot be read.
    """
    report = certify(directory)
    if not report.ok:
        raise CertificateError(f"{directory} is not certified, so nothing was published:\n{report.text()}")
    certificate = report.certificate
    configs = tuple(summary.config for summary in certificate.summaries)
    parquet = _parquet_files(directory, configs)
    sizes = sizes_of(directory, certificate)

    def card_of(name: str) -> str:
        return card_text(card_facts(report, name, source_url), sizes)

    return PublishedEdition(
        parquet=parquet,
        card=card_of(repo_id),
        picture=card_picture(certificate, directory),
        licence=license_text(certificate),
        configs=configs,
        evaluation_framework=evaluation_framework,
        example=example_config(certificate),
        message=_message(certificate),
        card_of=card_of,
    )


def with_configs_of_repo(
    edition: PublishedEdition, directory: Path, repo: Repo, commit: str, configs: Sequence[str], source_url: str | None
) -> PublishedEdition:
    """Combines an edition with configurations that are already in a repo, and certifies all together.

    Card, licence and `eval.yaml` describe the whole repo, so they are computed from all of its rows.

    Args:
        edition: The edition to publish.
        directory: Its data-set folder.
        repo: The repo, from which the files of these configurations are downloaded.
        commit: Commit with these files.
        configs: Names of the configurations.
        source_url: As in `certified_edition`.

    Raises:
        CertificateError: If they do not pass together; the message contains the report.
        DataError: If a file of the repo cannot be read.
        SetupError: If the Hub cannot be reached or refuses access.
    """
    paths = [path for path in files_at(repo, commit) if path.partition("/")[0] in configs]
    with tempfile.TemporaryDirectory() as folder:
        for config in edition.configs:
            (Path(folder) / config).symlink_to((directory / config).resolve(), target_is_directory=True)
        for path in (path for path in paths if SPLIT_FILE.fullmatch(path.partition("/")[2])):
            (Path(folder) / path).parent.mkdir(exist_ok=True)
            (Path(folder) / path).symlink_to(copy_of(repo, commit, path).resolve())
        try:
            whole = certified_edition(Path(folder), repo.id, source_url, edition.evaluation_framework)
        except CertificateError as cause:
            raise CertificateError(
                f"{directory} and the other configurations of {repo} ({', '.join(configs)}) do not pass together; "
                f"publish to another repo, or delete the others with --remove. {cause}"
            ) from cause
        parquet = {name: path.resolve() for name, path in whole.parquet.items()}
    return replace(whole, parquet=parquet, message=edition.message, kept=tuple(configs))


def _is_ours(path: str, tasks: Collection[TaskName]) -> bool:
    """Whether a path in a repo is a Parquet file of these tasks: only such files may be removed."""
    folder, _, name = path.partition("/")
    match = CONFIG.fullmatch(folder)
    return match is not None and match[1] in tasks and SPLIT_FILE.fullmatch(name) is not None


def _parquet_files(directory: Path, configs: Sequence[str]) -> dict[str, Path]:
    return {
        f"{config}/{path.name}": path for config in configs for path in sorted((directory / config).glob("*.parquet"))
    }


def _message(certificate: DataSetCertificate) -> Message:
    summaries = certificate.summaries
    editions = ", ".join(dict.fromkeys(str(summary.metadata["edition"]) for summary in summaries))
    configs = ", ".join(summary.config for summary in summaries)
    return Message(
        f"Publish edition {editions} ({configs})",
        f"{count_rows(certificate):,} rows, certified. Check them with `python -m dataset_builders certify DIR`.",
    )
