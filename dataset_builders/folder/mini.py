"""Where the mini edition lies, which is installed with the package."""

from pathlib import Path
from typing import Final

MINI_DIRECTORY: Final = Path(__file__).parents[1] / "data" / "mini"
"""The embedded mini edition, a data-set folder."""
