"""Files in the cache of the Hub's client: what the Hub states about them, and removing a damaged one.

The client compares sizes alone, and keeps what it downloaded. So a file that was damaged on its way is found damaged by
each later command, until it is removed.
"""

import contextlib
import re
from pathlib import Path
from typing import Final

from dataset_builders.core.hashes import file_sha256

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def stated_sha256(path: Path) -> str | None:
    """The sha256 that the Hub stated for a file, which the cache keeps as the name of the link's target.

    Args:
        path: Any file.

    Returns:
        `None` for a file outside the cache, or outside large-file storage, for which the Hub states none.
    """
    if not path.is_symlink():
        return None
    blob = path.readlink()
    # Other stores name files by their hashes, too; only the client's has this folder.
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def discard_damaged(path: Path, stated: str | None, found: str | None = None) -> bool:
    """Removes a file from the cache if it is not what the Hub states, so that it is downloaded again.

    Args:
        path: Any file; one outside the cache is never removed.
        stated: Its sha256 as the Hub states it, if it does.
        found: Its sha256, if known.

    Returns:
        Whether it was removed.
    """
    if stated is None or stated_sha256(path) is None or (found or file_sha256(path)) == stated:
        return False
    blob = path.resolve()
    with contextlib.suppress(OSError):
        path.unlink()
        blob.unlink()
    return not blob.exists()
