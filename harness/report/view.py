"""How much a table shows, and in which width."""

from dataclasses import dataclass

from dataset_builders.core.terminal import USUAL_WIDTH


@dataclass(frozen=True, slots=True)
class View:
    """What a table shows.

    Attributes:
        width: Columns of the terminal.
        intervals: Whether the interval of each number is printed.
        provenance: Whether hashes, batches, memory and errors on training frames of each model are printed.
    """

    width: int = USUAL_WIDTH
    intervals: bool = False
    provenance: bool = False
