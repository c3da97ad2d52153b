"""Keeps a table of ml-peg to one data set: results of different editions are never mixed."""

import json
from pathlib import Path
from typing import Final

from dataset_builders.core.errors import DataError, UsageError
from dataset_builders.core.hashes import SHORT_HASH
from dataset_builders.core.whole_file import write_text_whole
from harness.data.dataset import PinnedDataset

DATASET_NAME: Final = "dataset.json"
"""File beside the tables that names the data set of all numbers in them."""


def keep_to_one_edition(folder: Path, dataset: PinnedDataset, *, is_update: bool) -> None:
    """Records the data set of an analysis.

    Args:
        folder: Folder of the tables.
        dataset: The data set.
        is_update: Whether saved numbers of other models stay, as `ml_peg analyse --update` has it.

    Raises:
        UsageError: If numbers would stay that are of another data set.
    """
    path = folder / DATASET_NAME
    document = {"id": dataset.id, "edition": dataset.edition, "content_hash": dataset.content_hash}
    if is_update and path.is_file():
        saved = _read(path)
        if saved["content_hash"] != dataset.content_hash:
            raise UsageError(
                f"the saved tables in {folder} are of {_short(saved)}, and this analysis is of {_short(document)}; "
                "results of different data are not mixed. Run `ml_peg analyse` for all models without --update"
            )
    write_text_whole(path, json.dumps(document, indent=2) + "\n")


def described(folder: Path) -> str:
    """A sentence that names the data set of the tables in a folder.

    Raises:
        FileNotFoundError: If there are none, as ml-peg expects of an app without data.
        DataError: If the file is damaged.
    """
    return f"Data set: {_short(_read(folder / DATASET_NAME))}."


def _read(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return {name: str(document[name]) for name in ("id", "edition", "content_hash")}
    except (ValueError, KeyError, TypeError) as cause:
        raise DataError(f"{path} does not name a data set ({cause!r}); run `ml_peg analyse` again") from cause


def _short(document: dict[str, str]) -> str:
    return f"{document['id']}, edition {document['edition']}, {document['content_hash'][:SHORT_HASH]}"
