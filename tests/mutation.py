"""What became of the mutants of `make mutation`, with those that no test noticed: `python -m tests.mutation`.

Fails if tests noticed fewer than 85 % of the mutants. Each survivor has a reason here. One without is a missing test,
or a line that does nothing: look at it with `mutmut show NAME`, and write the test, or the reason.
"""

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LEAST_SHARE: Final = 0.85

REASONS: Final = (
    (r"dtype=|astype\(|\.copy\(", "NumPy chooses the same type without it, or one that holds the same values"),
    (r"strict=", "lengths are equal by construction; the argument guards against later changes"),
    (r"SN,SN|IJ,IJ|SP,SP|SPQ,SQ", "other letters for the same sum"),
    (
        r"np\.clip\(|700\.0|negligible|np\.full\(len\(weights\), |where=|> SCORE_FLOOR|np\.maximum\(n_frames|minlength",
        "a guard against rounding, or for values that are left out afterwards",
    ),
    (
        r"_CELLS_AT_ONCE|2\*\*20|_MOMENTS_OF_MOLECULES|whole|kind=|np\.ones\(\(1",
        "memory and speed; the values are the same",
    ),
    (r"_centred_ranks", "a common factor or offset of the ranks, which a correlation does not see"),
    (r"rank_moments", "each place is written once"),
    (
        r"totals\[place|totals\.get\(|len\(names\) >|lstsq\(",
        "a common sign or offset of all sums, which a spread does not see, or a default of NumPy",
    ),
    (r"_NO_SPREAD|stdtrit|isfinite", "the ends are ordered afterwards, or both conditions hold together"),
    (r"weight\[fixed\]|initial=", "weights are numbers of components, three or more"),
    (r"is None or other is None", "both are undefined together, since they have the same weights"),
    (r"len\(n_frames\)\)", "every molecule has a frame, so the length follows"),
    (r"share__|Plan\(", "a field that tests/harness/inference/test_ranks.py reads, which is not among these tests"),
    (
        r"_shard_name|digest|bounds\[number\] > limit|range\(|MOST_SHARDS|len\(ends\) else",
        "names and sizes of files; any consistent choice serves",
    ),
    (
        r"sort_keys|require_shape\(|require_finite\(|_NO_ATOMS|_NO_FRAMES|every reference|XX|f\"|\"[A-Z ]+\"",
        "words of a message",
    ),
)
"""Why a change of a line goes unnoticed: a pattern of the changed line, and the reason. The first that fits counts."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A mutant that no test noticed.

    Attributes:
        name: Its name, for `mutmut show`.
        before: The lines that it changes.
        after: What they became.
    """

    name: str
    before: str
    after: str

    @property
    def reason(self) -> str | None:
        """Why no test can notice it, or need not; `None` if that is not known."""
        text = f"{self.name}\n{self.before}\n{self.after}"
        return next((reason for pattern, reason in REASONS if re.search(pattern, text)), None)


def main() -> int:
    """Prints shares and survivors; the exit code is 1 below the least share."""
    n_noticed, survivors = outcome()
    n_mutants = n_noticed + len(survivors)
    if not n_mutants:
        print("no mutants were tried; run `make mutation`", file=sys.stderr)
        return 1
    by_reason: defaultdict[str, list[Survivor]] = defaultdict(list)
    for each in survivors:
        by_reason[each.reason or "NOT EXPLAINED"].append(each)
    for reason, those in sorted(by_reason.items(), key=lambda item: len(item[1])):
        print(f"\n{len(those)}: {reason}")
        for each in those:
            print(f"  {each.name}\n    - {each.before}\n    + {each.after}")
    share = n_noticed / n_mutants
    print(f"\ntests noticed {n_noticed:,} of {n_mutants:,} mutants, {100.0 * share:.1f} %; at least {LEAST_SHARE:.0%}")
    return 0 if share >= LEAST_SHARE else 1


def outcome() -> tuple[int, list[Survivor]]:
    """Number of mutants that tests noticed, and the others."""
    from mutmut.__main__ import SourceFileMutationData, status_by_exit_code, walk_mutatable_files

    n_noticed, survivors = 0, []
    for path in walk_mutatable_files():
        data = SourceFileMutationData(path=path)
        data.load()
        for name, code in data.exit_code_by_key.items():
            status = status_by_exit_code[code]
            if status in ("killed", "timeout", "segfault", "suspicious"):
                n_noticed += 1
            elif status == "survived":
                survivors.append(Survivor(name, *_change(name, path)))
    return n_noticed, survivors


def _change(name: str, path: object) -> Iterator[str]:
    from mutmut.__main__ import get_diff_for_mutant

    lines = get_diff_for_mutant(name, path=path).splitlines()
    for sign in ("-", "+"):
        yield " / ".join(line[1:].strip() for line in lines if line.startswith(sign) and not line.startswith(3 * sign))


if __name__ == "__main__":
    sys.exit(main())
