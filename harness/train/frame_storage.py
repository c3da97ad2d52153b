"""Decides whether the frames of a training are held in memory or in files."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dataset_builders.core.errors import SetupError
from dataset_builders.core.size_text import size_text
from harness.compute.hardware import available_memory

WhenOnDisk = Literal["auto", "always", "never"]

SHARE_OF_MEMORY: Final = 0.25
"""Largest share of the available memory that frames may need; they are copied once while they are joined."""


@dataclass(frozen=True, slots=True)
class FrameStorage:
    """Where frames are held; the numbers of a training do not depend on it.

    Attributes:
        when: In files `always` or `never`, or, with `auto`, if they need more than a quarter of the available memory.
        folder: Folder of the files.
    """

    when: WhenOnDisk
    folder: Path

    def folder_for(self, n_bytes: int) -> Path | None:
        """The folder of the files for frames of at most this size; `None` for memory.

        Raises:
            SetupError: If the folder has less room.
        """
        if self.when == "never" or (self.when == "auto" and not _is_much(n_bytes)):
            return None
        free = shutil.disk_usage(self.folder).free
        if free < n_bytes:
            raise SetupError(
                f"the training frames need up to {size_text(n_bytes)} in files, and {self.folder} has "
                f"{size_text(free)} left; free space there, choose another --out, or give fewer --train-frames"
            )
        print(f"training frames: up to {size_text(n_bytes)}, held in files in {self.folder} until the command ends")
        return self.folder


def _is_much(n_bytes: int) -> bool:
    available = available_memory()
    return available is not None and n_bytes > SHARE_OF_MEMORY * available
