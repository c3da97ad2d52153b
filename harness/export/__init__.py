"""Frames for the training code of others: files as their trainers take them, and iterators for Python."""

from harness.export.atoms import to_ase
from harness.export.graphs import to_pyg
from harness.export.loader_batches import FrameBatches, batches

__all__ = ["FrameBatches", "batches", "to_ase", "to_pyg"]
