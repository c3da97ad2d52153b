"""Time until the leaderboard page of many results can be used, and its size.

python -m tests.benchmarks.leaderboard_page

The rows of the study on mini are repeated under other names. The time is that of the browser, from the start of the
navigation until the first rows are drawn and the next frame is painted. It needs Chromium and playwright.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from model_cards.leaderboard.site.from_folder import entries_of_path
from model_cards.leaderboard.site.site_entry import Entry, Gathered
from model_cards.leaderboard.site.site_page import leaderboard_site
from tests.browser import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

RECORDS = Path(__file__).parents[2] / "docs" / "results" / "mini"
WATCH = """
new MutationObserver((_, observer) => {
  if (document.querySelector(".tabulator-row .cell-name") === null) return;
  observer.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.usableAfter = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""


def many(entries: Sequence[Entry], count: int) -> tuple[Entry, ...]:
    """The entries again and again, each under a name of its own."""
    repeated = islice(cycle(entries), count)
    return tuple(replace(entry, name=f"org-{place}/{entry.name}") for place, entry in enumerate(repeated))


def main() -> None:
    """Prints size and times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    entries = [entry for entry in entries_of_path(RECORDS).entries if entry.kind == "model"]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "leaderboard.html"
        started = perf_counter()
        leaderboard_site(Gathered(many(entries, arguments.results))).write(path)
        seconds = perf_counter() - started
        print(f"{arguments.results} results: {path.stat().st_size / 1e6:.2f} MB, written in {seconds:.1f} s")
        for width in (1440, 390):
            opened = [usable_after(browser, path, width) for _ in range(arguments.repeats)]
            listed = ", ".join(f"{elapsed:.0f}" for elapsed, _ in opened)
            elapsed, busy = (median(times) for times in zip(*opened, strict=True))
            print(
                f"{width} px: usable after {elapsed:.0f} ms (median of {listed}), {busy:.0f} ms of it on the processor"
            )


def usable_after(browser: "Browser", path: Path, width: int) -> tuple[float, float]:
    """Milliseconds until the page can be used, and processor time of its main thread."""
    with browser.new_context(viewport={"width": width, "height": 900}) as context:
        page = context.new_page()
        page.add_init_script(WATCH)
        metrics = context.new_cdp_session(page)
        metrics.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(path.as_uri(), wait_until="commit")
        page.wait_for_function("window.usableAfter !== undefined")
        found = {each["name"]: each["value"] for each in metrics.send("Performance.getMetrics")["metrics"]}
        return float(page.evaluate("window.usableAfter")), 1000.0 * found["TaskDuration"]


if __name__ == "__main__":
    main()
