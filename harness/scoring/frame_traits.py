"""What the geometry of a test frame says of it: whether training shows its rotamer, and whether its ends touch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.scoring.metric_terms import BoolArray

Contacts: TypeAlias = npt.NDArray[np.int8]

NO_PAIR: Final = -1
"""A molecule without two end fragments, or one that the task does not declare."""

APART: Final = 0
CONTACT: Final = 1


@dataclass(frozen=True, slots=True)
class FrameTraits:
    """Traits of some frames of a split.

    Attributes:
        smiles: SMILES of their molecules, by name.
        is_seen: Whether `train` has a frame of the same molecule with the same rotamer, shape (n_frames,).
        contact: `CONTACT` if the two end fragments are within 5 Å, `APART` if not, or `NO_PAIR`; shape (n_frames,).
        misfit: A frame that has other atoms than its SMILES, so that its traits are unknown; `None` if all fit.
    """

    smiles: Mapping[str, str]
    is_seen: BoolArray
    contact: Contacts
    misfit: str | None = None

    def keep(self, keep: BoolArray) -> "FrameTraits":
        """The traits of the frames marked True, shape (n_frames,)."""
        return FrameTraits(self.smiles, self.is_seen[keep], self.contact[keep], self.misfit)
