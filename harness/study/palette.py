"""The style of the figures: one colour and one marker per row, the same in every figure.

The colours are those of Okabe and Ito (2008), which remain distinct with common colour-vision deficiencies, a dark
purple, and greys for controls. Markers differ too, so a figure is readable in black and white.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_VERMILION: Final = "#D55E00"
_BLUE: Final = "#0072B2"
_GREEN: Final = "#009E73"
_PINK: Final = "#CC79A7"
_ORANGE: Final = "#E69F00"
_SKY: Final = "#56B4E9"
_YELLOW: Final = "#C9B700"
_PURPLE: Final = "#4B2E83"
_BLACK: Final = "#000000"

STYLES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "gfn2-xtb": ("#B0B0B0", "x"),
        "gfn1-xtb": ("#6E6E6E", "P"),
        "mmff94": ("#9A9A9A", "X"),
        "zero": ("#C8C8C8", "v"),
        "knn": (_YELLOW, "h"),
        "additive": (_BLACK, "d"),
        "schnet": (_ORANGE, "o"),
        "painn": (_BLUE, "s"),
        "dimenet++": (_PINK, "p"),
        "nequip": (_GREEN, "^"),
        "mace": (_VERMILION, "D"),
        "visnet": (_PURPLE, r"$\clubsuit$"),
        "ani2x": (_SKY, "<"),
        "ani2x-tuned": (_SKY, ">"),
        "painn-short": (_BLUE, "$1$"),
        "painn-long": (_BLUE, "$2$"),
        "painn-narrow": (_BLUE, "$3$"),
        "painn-wide": (_BLUE, "$4$"),
        "painn-local": (_BLUE, "$5$"),
        "painn-5A": (_BLUE, "$6$"),
        "painn-25A": (_BLUE, "$7$"),
        "painn-delta": (_BLACK, "*"),
    }
)
"""Colour and marker of every declared row, by name."""

_OTHERS: Final = tuple((_BLACK, f"${letter}$") for letter in "abcdefgh")
"""Styles of rows that occur only in records."""


def style_of(row: str, others: Mapping[str, int]) -> tuple[str, str]:
    """Colour and marker of a row.

    Args:
        row: Its name.
        others: Index of each row without its own style, among such rows.
    """
    return STYLES[row] if row in STYLES else _OTHERS[others[row] % len(_OTHERS)]
