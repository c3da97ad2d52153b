"""Colours of every figure and page. Each has one meaning.

They are those of Okabe and Ito (2008), which remain distinct with common colour-vision deficiencies. No figure says
anything by colour alone: markers, hatching or labels say it too.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
PINK: Final = "#CC79A7"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
YELLOW: Final = "#C9B700"
PURPLE: Final = "#4B2E83"
GREY: Final = "#767676"
LIGHT_GREY: Final = "#BBBBBB"

SPLITS: Final[Mapping[str, str]] = MappingProxyType({"train": GREY, "test_id": BLUE, "test_ood": VERMILION})
"""In-distribution is blue and out-of-distribution is vermilion, everywhere; what training shows is grey."""

PHYSICS: Final = GREY
"""Methods without a training set, such as GFN1-xTB."""
