"""The content hash of a data set: over the paths of its files and the sha256 of each, whatever folder they lie in."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dataset_builders.core.errors import DataError
from dataset_builders.core.hashes import file_sha256
from dataset_builders.folder.configs import CONFIG, SPLIT_FILE


def hash_of_hashes(hashes: Mapping[str, str]) -> str:
    """The content hash of files with known sha256, by path in the data set."""
    digest = hashlib.sha256()
    for path, file_hash in sorted(hashes.items()):
        digest.update(f"{path}\n{file_hash}\n".encode())
    return digest.hexdigest()


def config_hashes(directory: Path) -> dict[str, str]:
    """The content hash of each configuration of a data-set folder, ascending by name.

    Raises:
        DataError: If it holds no configuration.
    """
    found: dict[str, str] = {}
    folders = sorted(directory.iterdir()) if directory.is_dir() else []
    for folder in folders:
        files = sorted(folder.glob("*.parquet")) if CONFIG.fullmatch(folder.name) else []
        hashes = {f"{folder.name}/{path.name}": file_sha256(path) for path in files if SPLIT_FILE.fullmatch(path.name)}
        if hashes:
            found[folder.name] = hash_of_hashes(hashes)
    if not found:
        raise DataError(
            f"{directory} holds no configuration such as task1/train-00000-of-00001.parquet; expected a data set"
        )
    return found
