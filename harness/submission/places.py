"""What `python -m harness verify` is given: entries, finished runs and methods, or a repo of results on the Hub.

A run is written as an entry in a private folder first, so that all of them are checked by the same code.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.core.hub.repo import Repo
from dataset_builders.core.hub.retrying import retried
from harness.results.manifest import MANIFEST_NAME
from harness.results.result import RESULT_NAME
from harness.submission.across import entries_in
from harness.submission.entry_document import ENTRY_NAME, MAX_REFERENCED_BYTES, METHOD_NAME
from harness.submission.write import EntryOptions, assemble_entry

ENTRIES_FOLDER: Final = "entries"
"""Folder of the entries in a repo of results."""
_MAX_FILES: Final = 20_000
_HUB_PLACE: Final = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.-]+(?:/pr/\d+)?))?(?P<entry>/entries/[a-z0-9._-]+)?/?", re.ASCII
)
_ADDRESS: Final = re.compile(
    r"(?P<repo>[\w.-]+/[\w.-]+)(?:/tree/(?P<revision>[\w.-]+)(?P<entry>/entries/[a-z0-9._-]+)?)?/?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Place:
    """An entry to check.

    Attributes:
        entry: Its folder.
        name: Name of the folder that it stands for; shown in the report.
    """

    entry: Path
    name: str


def places_of(texts: Sequence[str], workspace: Path, records: Sequence[Path] = ()) -> list[Place]:
    """The entries in what a user gave.

    Args:
        texts: Folders of entries, of finished runs or of methods, or repos of results: `org/name[@revision]`, with
            `/entries/NAME` one of its entries, or the address of either.
        workspace: An empty folder, which receives runs written as entries, and downloads.
        records: Files mlip-ood.json that models of runs were read with.

    Raises:
        UsageError: If a run needs a file mlip-ood.json that is not found, or too much would be downloaded.
        DataError: If a text is none of these, a folder has no entry, or the Hub has no such repo.
        SetupError: If the Hub cannot be reached.
    """
    found: list[Place] = []
    for number, text in enumerate(dict.fromkeys(texts)):
        found += _places(text, workspace / str(number), records)
    return list({place.entry.absolute(): place for place in found}.values())


def _places(text: str, workspace: Path, records: Sequence[Path]) -> list[Place]:
    folder = Path(text)
    if folder.is_file() and folder.name in (RESULT_NAME, METHOD_NAME):
        folder = folder.parent
    if _is_run(folder):
        entry = assemble_entry([folder], workspace, EntryOptions(name="run", records=tuple(records)))
        return [Place(entry, folder.resolve().name)]
    if folder.exists():
        return [Place(entry, entry.name) for entry in entries_in(folder)]
    on_hub = _hub_place(text)
    if on_hub is None:
        raise DataError(
            f"{text} is not a folder; expected an entry, a folder of entries, the folder of a finished run or method, "
            "or a repo of results on the Hub, org/name[@revision]"
        )
    return [Place(entry, entry.name) for entry in entries_in(_downloaded(*on_hub, workspace))]


def _is_run(folder: Path) -> bool:
    """Whether a folder is that of a run or method; that of an entry has a document of its own."""
    if (folder / ENTRY_NAME).exists():
        return False
    return (folder / METHOD_NAME).is_file() or ((folder / MANIFEST_NAME).exists() and (folder / RESULT_NAME).exists())


def _hub_place(text: str) -> tuple[str, str | None, str | None] | None:
    """Repo, revision and path of an entry in a text; `None` if it is no place on the Hub."""
    from huggingface_hub import constants

    start = f"{constants.ENDPOINT}/datasets/"
    match = _ADDRESS.fullmatch(text.removeprefix(start)) if text.startswith(start) else _HUB_PLACE.fullmatch(text)
    if match is None or not is_repo_id(match["repo"]):
        return None
    return match["repo"], match["revision"], match["entry"]


def _downloaded(repo_id: str, revision: str | None, entry: str | None, workspace: Path) -> Path:
    """Downloads the entries of a repo of results, or one of them."""
    from huggingface_hub import HfApi, snapshot_download

    repo, wanted = Repo(repo_id, "dataset"), entry.strip("/") if entry else ENTRIES_FOLDER
    with explained(repo, revision):
        info = retried(lambda: HfApi().dataset_info(repo_id, revision=revision, files_metadata=True))
        sizes = [file.size or 0 for file in info.siblings or () if file.rfilename.startswith(f"{wanted}/")]
        if not sizes:
            raise DataError(f"{repo} has no {wanted}/; expected a repo of results (docs/submitting.md)")
        if len(sizes) > _MAX_FILES or sum(sizes) > MAX_REFERENCED_BYTES:
            raise UsageError(
                f"{wanted} of {repo} has {len(sizes):,} files, {sum(sizes) / 2**30:.1f} GiB; at most {_MAX_FILES:,} "
                f"and {MAX_REFERENCED_BYTES / 2**30:.0f} GiB are checked at once. Give one entry: "
                f"{repo_id}/{ENTRIES_FOLDER}/NAME"
            )
        retried(
            lambda: snapshot_download(
                repo_id,
                repo_type="dataset",
                revision=info.sha,
                allow_patterns=[f"{wanted}/*"],
                local_dir=workspace,
            )
        )
    return workspace / wanted
