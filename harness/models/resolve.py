"""Finds the model that a user named: a known name, a local checkpoint, or one on the Hub."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from dataset_builders.core.errors import DataError, ModelError
from dataset_builders.core.hub.names import REPO_ID
from dataset_builders.core.hub.repo import Repo
from harness.core.training_record import MAX_BYTES, RECORD_NAME
from harness.hub.download import Listing, fetch_files, list_files
from harness.models.detection import WHOLE, Files, find_checkpoint, find_record
from harness.models.registry import ModelSource, families, find_family, identify, is_local

_ADDRESS: Final = re.compile(
    rf"(?P<repo>{REPO_ID})"
    r"(?:@(?P<revision>refs/(?:pr/\d+|convert/\w+)|[^/@\s]+))?"
    r"(?:/(?P<path>[^/\s]\S*))?",
    flags=re.ASCII,
)


@dataclass(frozen=True, slots=True)
class HubAddress:
    """Location of a model on the Hub.

    Attributes:
        text: The address as the user wrote it, without a trailing slash.
        repo: The repo.
        revision: Branch, tag or commit; `None` for the default branch.
        path: File or folder in the repo; `WHOLE` if none was chosen.
    """

    text: str
    repo: Repo
    revision: str | None
    path: str

    @property
    def place(self) -> str:
        """The address without the path."""
        return self.text if self.path == WHOLE else self.text.removesuffix(f"/{self.path}")


def parse_address(text: str) -> HubAddress | None:
    """Parses `org/name[@revision][/path/in/repo]`, as in `hf://` paths; `None` for text of another form.

    A `/` in the name of a branch is written `%2F`; `refs/pr/3` is recognised as it is.
    """
    text = text.rstrip("/")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    revision = None if found["revision"] is None else unquote(found["revision"])
    return HubAddress(text, Repo(found["repo"], "model"), revision, found["path"] or WHOLE)


def resolve_model(text: str, family: str | None = None) -> ModelSource:
    """Finds a model, and downloads the files that its family needs if it is on the Hub.

    A known name takes precedence over a path of that spelling, and an existing path over a Hub id.

    Args:
        text: A known name; the path of a checkpoint; or a Hub id, `org/name[@revision][/path/in/repo]`.
        family: The family of the checkpoint, if its files do not identify it; a known name has its own.

    Raises:
        UsageError: If the text is none of these, or there is no such family.
        ModelError: If the repo, revision or file is missing (or private and not yours), contains no checkpoint
            of a known family or more than one, or the sha256 of a file differs from that on the Hub.
        SetupError: If the Hub cannot be reached or refuses access, or the disk cannot be written.
    """
    is_open = family is not None and find_family(family).is_open
    address = None if is_open or is_local(text) else parse_address(text)
    if address is None:
        return identify(text, family)
    return _resolve_on_hub(address, family)


def _resolve_on_hub(address: HubAddress, family: str | None) -> ModelSource:
    named = None if family is None else find_family(family)
    other_ways = f"; there is no file or folder {address.text!r} here either"
    with _absence_is_of_the_model():
        listing = list_files(address.repo, address.revision, other_ways)
        files = Files(
            place=address.place,
            names=tuple(sorted(listing.sha256)),
            bring=lambda name: fetch_files(listing, [name]) / name,
        )
        checkpoint = find_checkpoint(files, families(), named, address.path)
        record = find_record(listing.sha256.keys(), checkpoint)
        if record is not None:
            _require_short(listing, record)
        directory = fetch_files(listing, [*checkpoint.names, *([] if record is None else [record])])
    is_picked = WHOLE not in (address.path, checkpoint.path)
    return ModelSource(
        model_id=f"{listing.repo.id}/{checkpoint.path}" if is_picked else listing.repo.id,
        family=checkpoint.family,
        path=directory / checkpoint.path,
        revision=listing.commit,
        record=None if record is None else directory / record,
    )


def _require_short(listing: Listing, record: str) -> None:
    """Checks the size of a training record before it is downloaded."""
    size = listing.sizes.get(record)
    if size is not None and size > MAX_BYTES:
        raise ModelError(
            f"{record} of {listing.repo} has {size:,} bytes; expected at most {MAX_BYTES:,}, as in the "
            f"{RECORD_NAME} that `python -m dataset_builders export` writes. Ask its owner to correct it"
        )


@contextlib.contextmanager
def _absence_is_of_the_model() -> Iterator[None]:
    """Reports an absent repo or file as a model error instead of a data error, with its exit code."""
    try:
        yield
    except DataError as cause:
        raise ModelError(str(cause)) from cause
