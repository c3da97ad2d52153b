"""Array types and array checks, shared by the whole project."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from dataset_builders.core.errors import DataError, ShapeError

FloatArray: TypeAlias = npt.NDArray[np.floating[Any]]
IntArray: TypeAlias = npt.NDArray[np.integer[Any]]


def require_shape(name: str, array: npt.NDArray[Any], shape: tuple[int | None, ...]) -> None:
    """Checks the shape of an array; `None` stands for any length.

    Raises:
        ShapeError: If the shape differs.
    """
    matches = len(array.shape) == len(shape) and all(
        expected is None or length == expected for length, expected in zip(array.shape, shape, strict=True)
    )
    if not matches:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ShapeError(f"{name} has shape {array.shape}; expected ({wanted})")


def require_finite(name: str, array: FloatArray) -> None:
    """Checks that an array contains no NaN and no infinity.

    Raises:
        DataError: If it does; the message names the first position.
    """
    if not np.isfinite(array).all():
        where = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{name} is {array[where]} at index {where}; expected finite numbers")
