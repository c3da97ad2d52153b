"""Whether a gap is more than chance, and more than the difficulty of the molecules themselves."""

from dataclasses import dataclass

from harness.pages.report.number_text import decimal, ends_text
from harness.pages.report.view import TaskView
from harness.report.control_gaps import CONTROL
from harness.results.estimate import Estimate
from harness.scoring.gap_ratio import gap_ratio
from harness.scoring.intervals import Interval


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to a question.

    Attributes:
        short: For a table.
        text: A sentence.
    """

    short: str
    text: str


def chance(gap: Estimate) -> Verdict:
    """Whether a gap differs from 1 by more than chance: its interval against 1."""
    if gap.value is None:
        return Verdict("no gap", f"There is no gap: {reason_of(gap)}.")
    if gap.low is None or gap.high is None:
        return Verdict("not known", f"Not known: {reason_of(gap)}.")
    ends = ends_text(gap)
    if gap.low > 1.0:
        return Verdict("yes", f"Yes: the 95 % interval, {ends}, lies above 1.")
    if gap.high < 1.0:
        said = (
            f"Yes, in the other direction: the 95 % interval, {ends}, lies below 1, so OOD errors are the smaller ones."
        )
        return Verdict("yes, OOD is easier", said)
    return Verdict("no", f"No: the 95 % interval, {ends}, contains 1.")


def beyond_control(view: TaskView) -> Verdict:
    """Whether a gap exceeds that of GFN1-xTB, which shows how much harder the OOD molecules are in themselves."""
    if view.is_control:
        return Verdict("is that method", "This is the physics method with which others are compared.")
    if view.control is None:
        data = view.run.result.dataset.id
        said = (
            f"Not known: GFN1-xTB was not evaluated on this data. Evaluate it into the same folder of results: "
            f"python -m harness --model {CONTROL} --dataset {data}"
        )
        return Verdict("not known", said)
    ratio = gap_ratio(view.task, view.control)
    if ratio.value is None:
        return Verdict("not known", f"Not known: {ratio.reason}.")
    return _against_control(ratio, decimal(ratio.value, 2))


def reason_of(number: Estimate | Interval) -> str:
    """Why a number or its interval is missing."""
    return (number.reason or "").removeprefix("no interval: ")


def _against_control(ratio: Interval, value: str) -> Verdict:
    """The verdict on a ratio of gaps, given as text, too."""
    times, ends = f"{value} times the gap of GFN1-xTB", ends_text(ratio)
    if ratio.low is None or ratio.high is None:
        return Verdict(f"not known: ×{value}", f"Not known: it is {times}; {reason_of(ratio)}.")
    short = f"×{value} ({ends})"
    if ratio.low > 1.0:
        return Verdict(f"yes: {short}", f"Yes: it is {times} (paired 95 % interval {ends}).")
    if ratio.high < 1.0:
        return Verdict(f"smaller: {short}", f"No, it is smaller: {times} (paired 95 % interval {ends}).")
    return Verdict(f"no: {short}", f"No: it is {times}, and the paired 95 % interval, {ends}, contains 1.")
