"""Frames for the training code of others: files as their trainers take them, and iterators for Python."""

from harness.export.atoms import to_ase
from harness.export.batches import FrameBatches, batches
from harness.export.graphs import to_pyg

__all__ = ["FrameBatches", "batches", "to_ase", "to_pyg"]
