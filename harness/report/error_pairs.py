"""ID and OOD error as a pair of points on one line of a panel, with the part that composition explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dataset_builders.core.palette import LIGHT_GREY, PHYSICS, SPLITS
from dataset_builders.core.units import MILLI
from harness.report.panels import (
    DARK,
    FAINT,
    MARKS,
    SMALL,
    TEXT,
    TestSplitName,
    WithEnds,
    ends_of,
    force_axis,
    key,
    plain_look,
    split_key,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_EXPLAINED: Final = "explained by their composition"


@dataclass(frozen=True, slots=True)
class ErrorPair:
    """The errors of one model on one task.

    Attributes:
        label: Name on the axis.
        known: ID force MAE, eV/Å.
        unseen: OOD force MAE, eV/Å.
        gap: Their ratio.
        explained: Composition-matched gap; `None` where it is not known.
        is_control: Whether the model is the method without a training set that the others are compared with.
    """

    label: str
    known: WithEnds
    unseen: WithEnds
    gap: WithEnds
    explained: float | None = None
    is_control: bool = False

    @property
    def can_be_drawn(self) -> bool:
        """Whether both errors have a place on a logarithmic axis."""
        ends = (each for number in (self.known, self.unseen) for each in (number.value, number.low, number.high))
        return bool(self.known.value and self.unseen.value) and all(each is None or each > 0.0 for each in ends)


def draw_pairs(axes: "Axes", title: str, pairs: Sequence[ErrorPair | str]) -> None:
    """Draws one panel.

    Args:
        axes: An empty panel.
        title: Its title.
        pairs: From top to bottom; a label alone says that nothing was measured.
    """
    labels = [each if isinstance(each, str) else each.label for each in pairs]
    plain_look(axes, title)
    axes.set(xscale="log", ylim=(len(pairs) - 0.4, -0.75))
    axes.set_xlabel("force MAE, meV/Å", fontsize=TEXT)
    axes.set_yticks(range(len(pairs)), labels, fontsize=TEXT, parse_math=False)
    axes.tick_params(axis="x", labelbottom=True)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines["left"].set_visible(False)
    force_axis(axes.xaxis)
    axes.text(1.02, 1.01, "gap, OOD / ID", transform=axes.transAxes, fontsize=SMALL, color=DARK, va="bottom")
    for place, each in enumerate(pairs):
        text = "not measured" if isinstance(each, str) else _gap_text(each.gap)
        if isinstance(each, ErrorPair):
            _draw(axes, each, place)
        axes.text(1.02, place, text, transform=axes.get_yaxis_transform(), fontsize=SMALL, va="center", color=DARK)


def pair_keys(*, with_explained: bool) -> "list[Line2D]":
    """The signs of the key below a figure of pairs."""
    explained = [key(_EXPLAINED, color=LIGHT_GREY, linestyle="-", linewidth=6)] if with_explained else []
    return [split_key("test_id"), split_key("test_ood"), *explained]


def _draw(axes: "Axes", pair: ErrorPair, place: int) -> None:
    if pair.is_control:
        axes.axhspan(place - 0.5, place + 0.45, color="#F2F2F2", zorder=0)
    if not pair.can_be_drawn or pair.known.value is None or pair.unseen.value is None:
        return
    known, unseen = pair.known.value / MILLI, pair.unseen.value / MILLI
    axes.plot([known, unseen], [place] * 2, color=PHYSICS, linewidth=1.2, zorder=1)
    if pair.explained is not None:
        axes.plot([known, known * pair.explained], [place] * 2, color=LIGHT_GREY, linewidth=7, zorder=2)
    of_split: tuple[tuple[TestSplitName, WithEnds, float], ...] = (
        ("test_id", pair.known, known),
        ("test_ood", pair.unseen, unseen),
    )
    for split, error, value in of_split:
        axes.errorbar(
            value,
            place,
            xerr=ends_of(error),
            color=SPLITS[split],
            marker=MARKS[split],
            markersize=7.5,
            markeredgecolor="white",
            markeredgewidth=0.7,
            linewidth=1.6,
            zorder=3,
        )


def _gap_text(gap: WithEnds) -> str:
    if gap.value is None:
        return "–"
    ends = "" if gap.low is None or gap.high is None else f" ({gap.low:.2f}–{gap.high:.2f})"
    return f"{gap.value:.2f}{ends}"
