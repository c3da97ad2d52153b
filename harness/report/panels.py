"""The look of figures: panels on white, sizes of text, logarithmic axes with plain numbers."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from dataset_builders.core.palette import SPLITS
from dataset_builders.core.units import MILLI
from dataset_builders.core.whole_file import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

TestSplitName: TypeAlias = Literal["test_id", "test_ood"]


class WithEnds(Protocol):
    """A number with the ends of its 95 % interval; `None` for what is not known."""

    @property
    def value(self) -> float | None:
        """The number."""

    @property
    def low(self) -> float | None:
        """Lower end."""

    @property
    def high(self) -> float | None:
        """Upper end."""


TEXT: Final = 11.0
"""Size of ordinary text, points: readable at half of the size of a figure."""
SMALL: Final = 9.5
DARK: Final = "#333333"
FAINT: Final = "#D9D9D9"

_DOTS_PER_INCH: Final = 150

MARKS: Final[Mapping[TestSplitName, str]] = MappingProxyType({"test_id": "o", "test_ood": "D"})
"""A circle is ID and a diamond OOD, for readers who do not see the colours."""

LINES: Final[Mapping[TestSplitName, str]] = MappingProxyType({"test_id": "-", "test_ood": "--"})

NAMES: Final[Mapping[TestSplitName, str]] = MappingProxyType(
    {"test_id": "ID: new frames of training molecules", "test_ood": "OOD: unseen combinations"}
)


def empty_figure(width: float, height: float) -> "Figure":
    """A figure on white, in inches, whose panels do not overlap."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def save(figure: "Figure", path: Path) -> None:
    """Writes a PNG or SVG file, by the ending of the path: the same figure gives the same bytes."""
    import matplotlib

    # Without date and version of matplotlib, which would change the bytes but not the image.
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    with whole_file(path) as partial, matplotlib.rc_context({"svg.hashsalt": path.name}):
        figure.savefig(partial, format=path.suffix.removeprefix("."), dpi=_DOTS_PER_INCH, metadata=metadata)


def png_of(figure: "Figure", description: str) -> bytes:
    """The figure as PNG, with a description stored in it: the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None, "Description": description})
    return buffer.getvalue()


def plain_look(axes: "Axes", title: str) -> None:
    """A title at the left with room below it, no frame at the top and right."""
    axes.set_title(title, fontsize=TEXT + 1, loc="left", fontweight="bold", pad=16, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=TEXT)


def force_axis(axis: "Axis", steps: Sequence[float] = (1.0, 2.0, 5.0)) -> None:
    """Ticks of a logarithmic axis as 20, not 2x10^1."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def ends_of(number: WithEnds) -> list[list[float]] | None:
    """Lengths of the error bars of a force error below and above it, meV/Å."""
    if number.value is None or number.low is None or number.high is None:
        return None
    return [[max(0.0, number.value - number.low) / MILLI], [max(0.0, number.high - number.value) / MILLI]]


def split_key(split: TestSplitName, **look: Any) -> "Line2D":
    """The sign of a split in the key below a figure."""
    return key(NAMES[split], color=SPLITS[split], marker=MARKS[split], **look)


def key_of_curves(figure: "Figure", title: str | None = None) -> None:
    """The key of a figure of curves below it: ID is a solid line, OOD a dashed one."""
    figure.legend(
        title=title,
        title_fontsize=TEXT,
        handles=[split_key(split, linestyle=LINES[split]) for split in MARKS],
        loc="outside lower center",
        ncols=2,
        frameon=False,
        fontsize=SMALL,
    )


def faint_lines(axes: "Axes") -> None:
    """Faint horizontal lines behind the curves, no frame at the top and right."""
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def key(label: str, **look: Any) -> "Line2D":
    """A sign in the key below a figure."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **{"linestyle": "none", "markersize": 7, **look})
