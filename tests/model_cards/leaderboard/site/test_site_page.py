"""The page in a browser: sorting, filters, boards, charts and pages of models by clicking; nothing leaves the page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dataset_builders.core.errors import DataError, UsageError
from model_cards.leaderboard.site.from_folder import entries_of_path
from model_cards.leaderboard.site.site_entry import Gathered, gathered
from model_cards.leaderboard.site.site_page import Opening, leaderboard_site
from tests.browser import opened, wider_than_window
from tests.model_cards.leaderboard.site.conftest import MINI, MakeResult, save

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=\"document.title='taken'\"></script><script>document.title='taken'</script>"
PLACE_OF_A_POINT = """(() => {
  const points = [...document.querySelectorAll("[data-chart=gap-task2] .mark-symbol path")];
  const box = points.find((point) => point.__data__.datum.key === "mmff94").getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
})()"""
RECORDS = [json.loads(line) for line in (MINI / "runs.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def file(mini_records: Gathered, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the records on mini."""
    path = tmp_path_factory.mktemp("site") / "leaderboard.html"
    leaderboard_site(mini_records).write(path)
    return path


@pytest.fixture(scope="module")
def window(browser: "Browser", file: Path) -> Iterator["Page"]:
    """The page in a wide window; fails at the end if the page did anything wrong."""
    with opened(browser, file) as watched:
        watched.page.wait_for_selector(".tabulator-row")
        yield watched.page


@pytest.fixture
def page(window: "Page") -> "Page":
    """The page as it opens."""
    window.evaluate("Object.assign(state, { view: OVERALL, picked: null })")
    window.click("#reset")
    return window


def names(page: "Page") -> list[str]:
    """The models in the table, in their order."""
    page.wait_for_function("table.initialized")
    return [str(name) for name in page.evaluate("table.getRows('active').map((row) => row.getData().key)")]


def header(page: "Page", title: str) -> Any:
    """The header of a column."""
    return page.locator(".tabulator-col", has=page.get_by_text(title, exact=True)).first


def mean(row: str, task: str, name: str) -> float:
    """A number of the records: the mean over the seeds of a row, computed from the file alone."""
    numbers = {
        "score": lambda record: record["score"]["value"],
        "gap": lambda record: record["gap"]["value"],
        "id": lambda record: 1000 * record["force_mae"]["test_id"]["value"],
        "ood": lambda record: 1000 * record["force_mae"]["test_ood"]["value"],
    }
    values = [numbers[name](record) for record in RECORDS if (record["row"], record["task"]) == (row, task)]
    return float(sum(values) / len(values))


def test_the_table_opens_with_the_overall_ranking(page: "Page") -> None:
    """Models by score, then controls without a rank; the numbers are those of the records, a gap with its ID error."""
    found = names(page)
    assert found[:3] == ["painn-delta", "ani2x-tuned", "dimenet++"]
    assert found[-4:] == ["gfn2-xtb", "gfn1-xtb", "mmff94", "zero"]
    assert "22 of 22 rows" in page.inner_text("#count")
    groups = page.locator(".tabulator-group").all_inner_texts()
    assert groups[0].startswith("Models (18)")
    row = page.locator(".tabulator-row", has=page.get_by_text("dimenet++", exact=True))
    cell = row.locator("[tabulator-field=task3]").inner_text()
    assert f"{mean('dimenet++', 'task3', 'score'):.1f}" in cell
    gap, known = mean("dimenet++", "task3", "gap"), mean("dimenet++", "task3", "id")
    assert f"gap {gap:.2f} · ID {known:.1f}" in cell
    assert row.locator("[tabulator-field='#']").inner_text() == "3"


def test_columns_sort_by_clicking_and_by_the_keyboard(page: "Page") -> None:
    """In both directions; models and controls stay apart."""
    page.click("[data-view=task2]")
    header(page, "ID force MAE, meV/Å").click()
    errors = [mean(name, "task2", "id") for name in names(page)]
    assert errors[:18] == sorted(errors[:18])
    assert errors[18:] == sorted(errors[18:])
    header(page, "ID force MAE, meV/Å").click()
    errors = [mean(name, "task2", "id") for name in names(page)]
    assert errors[:18] == sorted(errors[:18], reverse=True)
    gap = header(page, "Gap, OOD / ID")
    gap.focus()
    page.keyboard.press("Enter")
    gaps = [mean(name, "task2", "gap") for name in names(page)[:18]]
    assert gaps == sorted(gaps)
    assert gap.get_attribute("aria-sort") == "ascending"
    assert names(page)[-1] == "gfn2-xtb", "what has no gap is last"


def test_the_numbers_of_a_task_have_intervals(page: "Page") -> None:
    """Score, errors and gap, and the spread of the seeds."""
    page.click("[data-view=task1]")
    row = page.locator(".tabulator-row", has=page.get_by_text("painn", exact=True))
    cells = {name: row.locator(f"[tabulator-field={name}]").inner_text().split("\n") for name in (
        "score", "ood_force_mae", "id_force_mae", "gap",
    )}  # fmt: skip
    assert cells["ood_force_mae"] == ["44.4 ± 1.5", "42.1–46.9"]
    assert cells["id_force_mae"] == ["36.4 ± 0.6", "29.4–45.2"]
    assert cells["gap"] == ["1.22 ± 0.02", "1.03–1.45", "at ID 36.4"]
    assert cells["score"][0].startswith("40.6 ± ")


def test_filters(page: "Page") -> None:
    """Each restricts the table, the number of rows is said, and Reset shows all again."""
    page.select_option("#filter-protocol", label="fine-tuned")
    assert names(page) == ["ani2x-tuned"]
    assert page.inner_text("#count") == "1 of 22 rows"
    page.click("#reset")
    page.select_option("#filter-family", label="graph-pes")
    assert "mace" in names(page)
    assert "dimenet++" not in names(page)
    page.fill("#filter-name", "narrow")
    assert names(page) == ["painn-narrow"]
    page.click("#reset")
    page.uncheck("#filter-controls")
    assert "gfn1-xtb" not in names(page)
    page.select_option("#filter-level", label="wB97X/6-31G(d)")
    assert names(page) == ["ani2x"]
    page.click("#reset")
    page.select_option("#filter-evidence", label="proved")
    assert len(names(page)) == 17
    page.fill("#filter-speed", "1")
    assert names(page) == []
    assert "No model passes the filters" in page.inner_text("#table")
    assert "22 have no recorded speed" in page.inner_text("#count")


def test_charts_follow_the_table(page: "Page") -> None:
    """A point for each model with a gap; a point and its row are marked together."""
    page.locator("[data-chart=gap-task2]").scroll_into_view_if_needed()
    page.wait_for_function("views.has('gap-task2') && views.get('gap-task2').data('points').length > 0")
    points = page.evaluate("views.get('gap-task2').data('points')")
    assert len(points) == 21, "all but GFN2-xTB, which has no error"
    painn = next(point for point in points if point["key"] == "painn")
    assert painn["gap"] == pytest.approx(mean("painn", "task2", "gap"), rel=1e-4)
    assert painn["idLow"] < painn["id"] < painn["idHigh"]
    assert "gfn2-xtb" in page.inner_text("#not-drawn")
    assert "Gap against ID force error on task2" in str(page.get_attribute("[data-chart=gap-task2]", "aria-label"))
    page.mouse.click(*page.evaluate(PLACE_OF_A_POINT))
    page.wait_for_selector(".tabulator-row.picked")
    assert page.locator(".tabulator-row.picked .cell-name").inner_text() == "mmff94"
    page.fill("#filter-name", "painn")
    page.wait_for_function("views.get('gap-task2').data('points').length === 9")


def test_a_model_has_a_page_with_an_address(browser: "Browser", file: Path) -> None:
    """All tasks, what proves the protocol, provenance and the command; Escape closes it."""
    address = f"{file.resolve().as_uri()}#model=painn"
    with opened(browser, address) as watched:
        page = watched.page
        page.wait_for_selector("dialog[open]")
        text = page.inner_text("dialog")
        for part in (
            "rank 7 of 11 by overall score 40.0", "proved", "GFN2-xTB", "records of the study", "1.22 ± 0.02",
            "1.03–1.45", "harness train --task task1", "not recorded", "160,844", "gap of GFN1-xTB",
            "Why some numbers have no interval",
        ):  # fmt: skip
            assert part in text, part
        page.wait_for_function("views.has('errors') && views.get('errors').data('points').length === 8")
        page.keyboard.press("Escape")
        page.wait_for_selector("dialog", state="hidden")
        page.wait_for_function("!location.hash.includes('model=')")
        page.get_by_role("link", name="mace", exact=True).click()
        page.wait_for_selector("dialog[open]")
        assert page.inner_text("#model-name") == "mace"
        assert "model=mace" in page.url
        page.click("#close")
        page.wait_for_selector("dialog", state="hidden")


@pytest.mark.parametrize(("width", "dark"), [(390, True), (390, False), (1440, True)])
def test_it_fits_phones_and_both_themes(browser: "Browser", file: Path, width: int, dark: bool) -> None:
    """Neither the page nor the page of a model scrolls sideways; drawn molecules have names."""
    with opened(browser, file, width=width, dark=dark) as watched:
        page = watched.page
        page.wait_for_selector(".tabulator-row")
        assert wider_than_window(page) <= 0
        page.click("[data-view=task4]")
        page.evaluate("location.hash = 'model=visnet'")
        page.wait_for_selector("dialog[open]")
        assert page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth")
        page.keyboard.press("Escape")
        assert wider_than_window(page) <= 0
        drawings = page.locator(".task svg")
        assert drawings.count() == 19
        labels = {drawings.nth(place).get_attribute("aria-label") for place in range(19)}
        assert {"OH-12-H", "COOH-6-NH2"} <= labels
        assert page.locator("label, [aria-label]").count() > 10


def test_what_strangers_write_stays_text(browser: "Browser", make_run: MakeResult, tmp_path: Path) -> None:
    """Names, files that cannot be read, and facts; an address that is no https address is not linked."""
    save(make_run(HOSTILE, family=HOSTILE, files={HOSTILE: "0" * 64}, cautions=(HOSTILE,)), tmp_path / "results" / "a")
    save(make_run("org/m", "task2", level_of_theory=HOSTILE), tmp_path / "results" / "b")
    (tmp_path / "results" / "<b>bold").mkdir()
    (tmp_path / "results" / "<b>bold" / "result.json").write_text(HOSTILE)
    leaderboard_site(entries_of_path(tmp_path / "results")).write(tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as watched:
        page = watched.page
        page.wait_for_selector(".tabulator-row")
        assert names(page) == [HOSTILE, "org/m"]
        page.locator(".cell-name").first.click()
        page.wait_for_selector("dialog[open]")
        assert page.inner_text("#model-name") == HOSTILE
        assert f"Caution: {HOSTILE}" in page.inner_text("dialog")
        page.wait_for_function("views.has('errors')")
        page.keyboard.press("Escape")
        page.locator("#gaps").scroll_into_view_if_needed()
        page.wait_for_function("views.has('gap-task2')")
        assert "<b>bold/result.json" in page.inner_text("#left-out")
        assert page.title() == "mlip-ood leaderboard"
        assert page.locator("img").count() == 0
        assert page.locator("a:not([href^='#']):not([href^='https://'])").count() == 0


def test_boards_are_chosen_and_never_mixed(
    browser: "Browser", mini_records: Gathered, make_run: MakeResult, tmp_path: Path
) -> None:
    """The page opens with the edition that ranks best; an address leads to the board of its model."""
    data = {"edition": "standard", "content_hash": "c" * 64}
    save(make_run("org/m", dataset=data), tmp_path / "results")
    found = gathered([mini_records, entries_of_path(tmp_path / "results")])
    leaderboard_site(found).write(tmp_path / "page.html")
    with opened(browser, tmp_path / "page.html") as watched:
        page = watched.page
        page.wait_for_selector(".tabulator-row")
        assert names(page) == ["org/m"]
        page.select_option("#board", label="mini, GFN2-xTB labels (18 models)")
        assert len(names(page)) == 22
        assert "standard (20) ranks models" in page.inner_text("#board-note")
        page.evaluate("location.hash = 'data=standard, GFN2-xTB labels'")
        page.wait_for_function("table.getRows().length === 1")
    with opened(browser, f"{(tmp_path / 'page.html').as_uri()}#model=visnet") as watched:
        watched.page.wait_for_selector("dialog[open]")
        assert "mini, GFN2-xTB labels" in watched.page.inner_text("dialog")


def test_the_same_results_give_the_same_page(mini_records: Gathered, file: Path) -> None:
    """Byte for byte."""
    assert leaderboard_site(entries_of_path(MINI)).html() == file.read_text()


def test_what_the_page_opens_with(mini_records: Gathered) -> None:
    """An edition or level without a result is refused, and so is a page without any result."""
    assert leaderboard_site(mini_records, Opening("mini", "GFN2-xTB")).page.data["opensWith"] == 0  # type: ignore[index]
    with pytest.raises(UsageError, match=r"no result on full; the page could open with: mini, GFN2-xTB labels"):
        leaderboard_site(mini_records, Opening("full"))
    with pytest.raises(DataError, match="there is no result to show"):
        leaderboard_site(Gathered())
