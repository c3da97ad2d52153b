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


def discard_damaged(path: Path) -> bool:
    """Removes a file from the cache if it is not what the Hub states, and all such files of its snapshot.

    They are downloaded again by the next command. What damaged one file, such as a proxy, damaged others.

    Args:
        path: Any file; one outside the cache is never removed, nor is another beside it.

    Returns:
        Whether the file itself was removed.
    """
    if stated_sha256(path) is None:
        return False
    snapshot = next((folder for folder in path.parents if folder.parent.name == "snapshots"), path.parent)
    for each in sorted(snapshot.rglob("*")):
        stated = stated_sha256(each)
        if stated is not None and each.exists() and file_sha256(each) != stated:
            blob = each.resolve()
            with contextlib.suppress(OSError):
                each.unlink()
                blob.unlink()
    return not path.exists()
