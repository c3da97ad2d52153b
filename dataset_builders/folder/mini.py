"""Path of the mini edition that is installed with the package."""

from pathlib import Path
from typing import Final

MINI_DIRECTORY: Final = Path(__file__).parents[1] / "data" / "mini"
"""The data-set folder of the embedded mini edition."""
