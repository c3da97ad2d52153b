"""An array that grows piece by piece, in memory or in a file without a name."""

import tempfile
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from dataset_builders.core.writing import writing

_PREFIX: Final = "mlip-ood-frames-"
_REMEDY: Final = "choose another --out, or hold frames in memory with --frames-on-disk never"


class GrowingArray:
    """An array of unknown length, to which pieces are appended.

    In a folder, the pieces go to a file that has no name, or loses it with the process, so that a killed process
    leaves nothing behind. The finished array is mapped from that file: the system reads the parts that are used, and
    drops them from memory when it needs the room.

    Args:
        dtype: Type of the elements.
        shape: Shape of one item.
        folder: Folder of the file; `None` for memory.
    """

    def __init__(self, dtype: npt.DTypeLike, shape: tuple[int, ...], folder: Path | None) -> None:
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._shape = shape
        self._length = 0
        self._folder = folder
        self._parts: list[npt.NDArray[Any]] = []
        self._file: IO[bytes] | None = None
        if folder is not None:
            with writing(folder, _REMEDY):
                self._file = tempfile.TemporaryFile(dir=folder, prefix=_PREFIX)  # noqa: SIM115 - mapped as long as used

    def append(self, part: npt.NDArray[Any]) -> None:
        """Adds items, converted to the type of the array.

        Args:
            part: Shape (n, *shape).

        Raises:
            SetupError: If the disk is full.
        """
        converted = np.ascontiguousarray(part, dtype=self._dtype)
        self._length += len(converted)
        if self._file is None or self._folder is None:
            self._parts.append(converted)
            return
        with writing(self._folder, _REMEDY):
            self._file.write(converted.data)

    def whole(self) -> npt.NDArray[Any]:
        """All items, shape (n_items, *shape); nothing can be appended afterwards."""
        shape = (self._length, *self._shape)
        if self._file is None:
            found = np.concatenate(self._parts) if self._parts else np.empty(shape, self._dtype)
            self._parts.clear()
            return found
        assert self._folder is not None
        with writing(self._folder, _REMEDY):
            self._file.flush()
        if not self._length:  # an empty file cannot be mapped
            return np.empty(shape, self._dtype)
        return np.memmap(self._file, self._dtype, "r", shape=shape)
