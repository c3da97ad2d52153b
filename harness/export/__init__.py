"""Exports frames for other training code: files in the formats of their trainers, and Python iterators."""

from harness.export.atoms import to_ase
from harness.export.graphs import to_pyg
from harness.export.loader_batches import FrameBatches, batches

__all__ = ["FrameBatches", "batches", "to_ase", "to_pyg"]
