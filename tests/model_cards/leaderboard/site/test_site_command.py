"""`harness leaderboard --html OUT --space DIR --from SOURCE`, and `model_cards publish DIR ORG/NAME`."""

from pathlib import Path

import pytest
import yaml

from dataset_builders.core.errors import DataError, UsageError
from harness.pages import bundled
from model_cards.cli import main as main_of_cards
from model_cards.leaderboard.command import main
from model_cards.leaderboard.site import site_page
from model_cards.publishing.publish_checkpoint import PublishOptions
from model_cards.publishing.publish_space import publish_space
from tests.harness.results.test_result import tasks  # noqa: F401 (a fixture)
from tests.model_cards.leaderboard.site.conftest import MINI
from tests.model_cards.leaderboard.test_ranking import DATASET, add_model, commit_of_data, measured  # noqa: F401

SPACE = "compgen/leaderboard"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Records of three rows."""
    place = tmp_path_factory.mktemp("records") / "few"
    place.mkdir()
    lines = (MINI / "runs.jsonl").read_text().splitlines(keepends=True)
    wanted = ('"row":"zero"', '"row":"gfn1-xtb"', '"row":"additive"')
    (place / "runs.jsonl").write_text("".join(line for line in lines if any(row in line for row in wanted)))
    return place


@pytest.fixture(scope="module")
def folder(few, tmp_path_factory):
    """The folder of a Space; do not write to it."""
    place = tmp_path_factory.mktemp("space") / "leaderboard"
    assert main(["--space", str(place), "--from", str(few)]) == 0
    return place


@pytest.fixture
def ann(hub):
    hub.add_user("ann", orgs={"compgen": "write"})
    hub.log_in("ann")


def test_the_page_of_the_records_shows_twenty_rows_on_the_first_day(tmp_path, capsys):
    out = tmp_path / "board.html"
    assert main(["--html", str(out), "--from", str(MINI)]) == 0
    printed = capsys.readouterr().out
    assert f"wrote {out}" in printed
    assert "mini, GFN2-xTB labels: 18 models, 4 controls on task1 task2 task3 task4" in printed
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_what_is_left_out_is_printed(few, tmp_path, capsys):
    bad = tmp_path / "results" / "bad"
    bad.mkdir(parents=True)
    (bad / "result.json").write_text("{")
    sources = ["--from", str(few), "--from", str(tmp_path / "results")]
    assert main(["--html", str(tmp_path / "board.html"), *sources]) == 0
    assert "left out: results/bad/result.json: cannot read the result bad/result.json" in capsys.readouterr().out
    with pytest.raises(DataError, match=r"no result to show:\n  results/bad/result\.json: cannot read"):
        main(["--html", str(tmp_path / "none.html"), *sources[2:]])


def test_the_page_of_the_hub(few, hub, measured, tmp_path, capsys):  # noqa: F811
    add_model(hub, "org/good", measured({"task2": 60.0}))
    assert main(["--dataset", DATASET, "--html", str(tmp_path / "a.html"), "--from", "hub", "--from", str(few)]) == 0
    printed = capsys.readouterr().out
    assert "mini, GFN2-xTB labels: 2 models, 3 controls" in printed, "the same data, so one board"
    assert "org/good" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "results"], "--from results is for the page; add --html OUT or --space DIR"),
        (["--html", "a.html", "--json"], "--json with --html or --space"),
        (["--html", "a.html", "--task", "task2"], "the page holds every task"),
        (["--html", "a.html", "--from", "results", "--model", "org/m"], "--model org/m is read from the Hub"),
        (["--html", ".", "--from", "FEW"], "is a folder; --html writes a file"),
        (["--html", "a.html", "--from", "FEW", "--labels", "wb97x"], r"no result on wB97X/6-31G\(d\) labels"),
        (["--html", "a.html", "--from", "FEW", "--edition", "full"], "no result on full"),
    ],
)
def test_options_that_exclude_each_other(few, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        main([str(few) if each == "FEW" else each for each in options])
    assert not Path("a.html").exists()


def test_a_missing_package_is_named_before_anything_is_read(tmp_path, monkeypatch):
    from dataset_builders.core.errors import MissingPackageError

    # Not emptied: what is kept there takes seconds to make, and later pages need it.
    monkeypatch.setattr(site_page, "vega", bundled.vega.__wrapped__)
    monkeypatch.setitem(__import__("sys").modules, "vl_convert", None)
    with pytest.raises(MissingPackageError, match=r"mlip-ood\[pages\]"):
        main(["--html", str(tmp_path / "a.html"), "--from", "absent"])


def test_the_folder_is_a_static_space(few, folder, capsys, tmp_path):
    assert {path.name for path in folder.iterdir()} == {"README.md", "index.html"}
    front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert (front["sdk"], front["app_file"]) == ("static", "index.html")
    assert len(front["short_description"]) <= 60, "the limit of the Hub"
    assert main(["--space", str(tmp_path / "s"), "--from", str(few)]) == 0
    printed = capsys.readouterr().out
    assert f"publish it: python -m model_cards publish {tmp_path / 's'} ORG/NAME" in printed


def test_a_card_that_its_owner_changed_stays(few, tmp_path):
    card = tmp_path / "README.md"
    card.write_text("---\ntitle: Ours\nsdk: static\n---\n\nOurs.\n")
    main(["--space", str(tmp_path), "--from", str(few)])
    assert card.read_text().endswith("Ours.\n")
    assert (tmp_path / "index.html").is_file()


def test_a_folder_of_something_else_is_not_overwritten(few, tmp_path):
    (tmp_path / "index.html").write_text("a page of somebody's")
    with pytest.raises(UsageError, match=r"no folder of a static Space, and .*index\.html would be replaced"):
        main(["--space", str(tmp_path), "--from", str(few)])
    assert (tmp_path / "index.html").read_text() == "a page of somebody's"
    (tmp_path / "README.md").write_text("---\nsdk: gradio\n---\n")
    with pytest.raises(UsageError, match=r"README\.md would be replaced"):
        main(["--space", str(tmp_path), "--from", str(few)])


def test_one_command_publishes_the_space(hub, ann, folder, capsys):
    assert main_of_cards(["publish", str(folder), SPACE]) == 0
    assert f"{hub.endpoint}/spaces/{SPACE}/commit/" in capsys.readouterr().out
    files = hub.files(SPACE, "space")
    assert files["index.html"] == (folder / "index.html").read_bytes()
    assert files["README.md"] == (folder / "README.md").read_bytes()
    n_commits = len(hub.history(SPACE, "space"))
    assert main_of_cards(["publish", str(folder), SPACE]) == 0
    assert "already contains this page" in capsys.readouterr().out
    assert len(hub.history(SPACE, "space")) == n_commits


def test_files_of_others_in_a_space_stay_and_an_application_is_refused(hub, ann, folder):
    hub.add_repo(SPACE, "space", {"README.md": b"---\nsdk: static\n---\n", "style.css": b"p {}"})
    publish_space(folder, SPACE, PublishOptions())
    assert hub.files(SPACE, "space")["style.css"] == b"p {}"
    hub.add_repo("compgen/app", "space", {"README.md": b"---\nsdk: gradio\n---\n", "app.py": b""})
    with pytest.raises(UsageError, match=r"Space compgen/app is an application \(gradio\)"):
        publish_space(folder, "compgen/app", PublishOptions())
    assert "index.html" not in hub.files("compgen/app", "space")


def test_what_is_no_space_is_not_published(hub, ann, folder, tmp_path):
    with pytest.raises(DataError, match="is not a static Space"):
        publish_space(tmp_path, SPACE, PublishOptions())
    assert main_of_cards(["publish", str(folder), SPACE, "--result", "run"]) == 2
