import re
import subprocess
import sys

import pytest

from dataset_builders.card.dataset_card import CardFacts, card_facts, card_picture, card_text, write_card
from dataset_builders.card.metadata import SplitSize, sizes_of
from dataset_builders.certify.audit import certify
from dataset_builders.certify.coverage import Coverage, DataSetCertificate, TaskCertificate
from dataset_builders.core.errors import CertificateError
from dataset_builders.core.hub.names import DATASET_ID
from dataset_builders.folder.mini import MINI_DIRECTORY
from dataset_builders.folder.schema import COLUMNS
from tests.dataset_builders.synthetic_folder import write_folder


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of a certified folder."""
    return certify(write_folder(tmp_path_factory.mktemp("card") / "out"))


@pytest.fixture(scope="module")
def published(report):
    """The folder with its card; the repo's name is its path, so that the card's examples run."""
    write_card(report.directory, card_facts(report, str(report.directory), source_url="https://example.org/source"))
    return report.directory


def all_tasks(certificate_of):
    from dataset_builders.certify.coverage import ConfigSummary
    from dataset_builders.tasks.editions import SPLITS
    from dataset_builders.tasks.regions import TASKS
    from tests.dataset_builders.synthetic_folder import METADATA

    counts = dict.fromkeys(SPLITS, 300)
    summaries = tuple(ConfigSummary(name, task, "GFN2-xTB", METADATA, counts, counts) for name, task in TASKS.items())
    return DataSetCertificate(summaries, tuple(certificate_of(name) for name in TASKS), ())


def sizes_of_all():
    from dataset_builders.tasks.editions import SPLITS
    from dataset_builders.tasks.regions import TASKS

    return {name: dict.fromkeys(SPLITS, SplitSize(1000, 10)) for name in TASKS}


def test_the_card_says_what_the_certificate_says():
    from tests.dataset_builders.certify.test_coverage import certificate_of

    text = card_text(CardFacts("someone/some-data", all_tasks(certificate_of)), sizes_of_all())
    assert "| task3 | 28 | 30 | 0 | 30/30 | 18/30 | 15/30 | 30/30 | 15/30 | 6/30 | 3/30 | 15/15 | 0.24 |" in text
    assert "| task4 | 18 | 16 | 0 | 16/16 | 16/16 | 0/16 | 16/16 | 16/16 | 16/16 | 0/16 | - | 0.10 |" in text
    assert "4,800 frames with energy and forces" in text
    assert "are named in arXiv 2605.08988" in text
    assert "designed for this benchmark" in text
    assert 'load_dataset("someone/some-data", "task3")' in text
    assert "Not in this repository" not in text
    assert "python -m dataset_builders certify DIR" in text
    assert "Geometric support was not measured" in text  # a certificate without it
    assert "| frames of |" not in text


def test_the_card_shows_geometric_support_and_what_must_be_inferred(published):
    text = (published / "README.md").read_text()
    assert re.search(r"^\| task2 test_ood near \| 60 \| 0 % \| 67 % \|", text, re.MULTILINE)
    assert re.search(r"^\| task2 test_id \| rotamer in train \| \d+ % \|", text, re.MULTILINE)
    assert "- task2: training never shows environments of radius 2 of 4 of 24 OOD molecules," in text
    assert "Geometric support was not measured" not in text


def test_molecules_are_listed_once_for_each_task():
    text = (MINI_DIRECTORY / "README.md").read_text(encoding="utf-8")
    assert text.count("OH-2-OH, SH-2-SH, NH2-2-NH2, Cl-2-Cl\n") == 1
    assert "| task2 (-pbe, -wb97m, -wb97x) | 36 | 24 |" in text
    levels = "wB97M-D3(BJ)/def2-TZVPPD, wB97X/6-31G(d)"
    assert f"task2 at GFN2-xTB, PBE-D3(BJ)/def2-TZVP, {levels}; task3 at GFN2-xTB, {levels}." in text
    lists = re.findall(r"(?:[A-Z][A-Za-z0-9]*-\d+-[A-Z][A-Za-z0-9]*, ){3,}.*", text)
    assert lists
    assert len(set(lists)) == len(lists)


def test_long_lists_are_folded():
    text = (MINI_DIRECTORY / "README.md").read_text(encoding="utf-8")
    open_text = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "not covered at radius 2:" in text
    assert "not covered at radius 2:" not in open_text
    assert text.count("<details>") == text.count("</details>") == 3
    assert all(block.startswith("\n\n") for block in re.findall(r"</summary>(.*?)</details>", text, re.DOTALL))


def test_the_card_begins_with_three_lines_a_picture_and_the_command():
    text = (MINI_DIRECTORY / "README.md").read_text(encoding="utf-8")
    head = text.split("---\n", 2)[2].strip().splitlines()[:15]
    title, _, *said = head[:5]
    assert title.startswith("# MLIP-OOD")
    assert all(len(line) > 80 for line in said)
    assert head[5] == head[7] == ""
    assert re.fullmatch(r"!\[Molecules of each task\. task1: .*\]\(tasks\.png\)", head[6])
    assert head[8:11] == ["```console", f"$ python -m harness --model YOUR_MODEL --dataset {DATASET_ID}", "```"]
    picture = (MINI_DIRECTORY / "tasks.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000


def test_a_picture_of_the_same_molecules_is_kept(report, published, tmp_path):
    before = (published / "tasks.png").read_bytes()
    assert card_picture(report.certificate, published) == before
    # Drawn by another version of a library: other bytes, the same molecules.
    (tmp_path / "tasks.png").write_bytes(before + b"\0")
    assert card_picture(report.certificate, tmp_path) == before + b"\0"
    (tmp_path / "tasks.png").write_bytes(b"a picture of something else")
    assert card_picture(report.certificate, tmp_path) == before


def test_every_column_stands_on_the_card(published):
    text = (published / "README.md").read_text()
    for name, _, meaning in COLUMNS:
        assert re.search(rf"^\| `{name}` \| .* \| {re.escape(meaning)} \|$", text, re.MULTILINE)


def test_what_is_missing_and_where_the_source_is(published):
    text = (published / "README.md").read_text()
    assert "Not in this repository: task1, task3, task4." in text
    assert "Source code: <https://example.org/source>." in text


def test_the_same_folder_gets_the_same_card(report, published):
    facts = card_facts(report, "someone/some-data")
    text = card_text(facts, sizes_of(published, report.certificate))
    assert card_text(facts, sizes_of(published, report.certificate)) == text
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_the_numbers_of_the_leaderboard_stand_on_the_card(published):
    text = (published / "README.md").read_text()
    assert re.search(r"^\| `score` \| test_ood \| - \| higher \| 0 to 100", text, re.MULTILINE)
    assert "`overall_score`, the mean of the four tasks" in text
    assert "`CONFIG_score`" in text
    assert re.search(r"^\| `id_force_mae` \| test_id \| meV/Å \| lower \| MAE", text, re.MULTILINE)


def test_licence(published):
    assert "https://creativecommons.org/licenses/by/4.0/" in (published / "LICENSE.md").read_text()


def test_no_card_without_a_passed_certificate(tmp_path):
    failing = TaskCertificate("task1", 1, 1, (), (Coverage(1, 1, ("OH-2-H",)),), (), None, 0.5)
    with pytest.raises(CertificateError, match=r"does not pass its coverage certificate"):
        write_card(tmp_path, CardFacts("someone/some-data", DataSetCertificate((), (failing,), ())))
    assert not (tmp_path / "README.md").exists()


def test_the_examples_on_the_card_run(published, tmp_path):
    examples = re.findall(r"```python\n(.*?)```", (published / "README.md").read_text(), re.DOTALL)
    assert len(examples) == 2
    # The stream is read to its end: one left half-read can abort Python at exit (apache/arrow issue 45214).
    checks = """
assert set(task) == {"train", "validation", "test_id", "test_ood"}
assert sum(1 for _ in stream) == 180
assert len(positions) == len(forces) == n_atoms.sum()
assert len(positions_of_each) == len(energy) == 120
"""
    environment = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": ""}
    script = "\n".join([*examples, checks])
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
