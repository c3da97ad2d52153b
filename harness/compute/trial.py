"""Tests a checkpoint with the package that reads it, so that a bad one is reported before an evaluation begins."""

import contextlib
import importlib.metadata
import io
import logging
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from dataset_builders.core.errors import ModelError
from harness.compute.device import out_of_memory_as_itself
from harness.core.batch import StructureBatch
from harness.core.potential import PotentialTraits

_NOT_LOADABLE: Final = (
    *(ImportError, AttributeError, TypeError, KeyError, IndexError, ValueError, AssertionError, RuntimeError),
    *(OSError, EOFError, pickle.UnpicklingError),
)


@contextlib.contextmanager
def tried_with(package: str, release: str, source: Path) -> Iterator[None]:
    """Names file, package and versions in any error that occurs while a package loads and tests a checkpoint.

    Output, log messages and warnings of the package are dropped: standard output is reserved for the report.

    Args:
        package: Distribution that reads the file.
        release: Release of the package that the adapter was written for.
        source: The file.

    Raises:
        ModelError: If loading or testing fails.
        torch.OutOfMemoryError: If the device is full.
    """
    import torch

    try:
        with _quiet(), out_of_memory_as_itself():
            yield
    except torch.OutOfMemoryError:
        raise
    except _NOT_LOADABLE as cause:
        raise ModelError(
            f"{source} cannot be loaded and run with {package} {_installed(package)}: {type(cause).__name__}: {cause}. "
            f"This adapter was written for {package} {release}: install that release if yours differs; "
            "otherwise the file belongs to another family or is damaged"
        ) from cause


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drops output, log messages and warnings, and leaves no log handler behind."""
    root, disabled = logging.getLogger(), logging.root.manager.disable
    handlers = list(root.handlers)
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        logging.disable(disabled)


def bent_trio(traits: PotentialTraits) -> StructureBatch:
    """Three atoms of the lightest element that a potential supports, at a right angle, to test it."""
    return StructureBatch(
        atomic_numbers=np.full(3, min(traits.elements or {1}), dtype=np.int64),
        positions=np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        n_atoms=np.array([3], dtype=np.int64),
        smiles=("three atoms",),
    )


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
