import re
import subprocess
import sys

import pytest
import yaml

from dataset_builders.card import CardFacts, card_text, count_rows, size_category, write_card
from dataset_builders.certificate import Coverage, DataSetCertificate, TaskCertificate
from dataset_builders.certify import certify
from dataset_builders.errors import CertificateError
from dataset_builders.schema import COLUMNS
from tests.dataset_builders.synthetic_folder import write_folder


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A certified folder with its card; the repo's name is its path, so that the card's examples run."""
    folder = write_folder(tmp_path_factory.mktemp("card") / "out")
    write_card(folder, certify(folder).card_facts(str(folder), source_url="https://example.org/source"))
    return folder


def front_matter_of(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_front_matter(published):
    data = front_matter_of((published / "README.md").read_text())
    assert data["license"] == "cc-by-4.0"
    assert data["size_categories"] == ["n<1K"]
    assert {"chemistry", "molecules", "mlip", "compositional-generalization", "ood"} <= set(data["tags"])
    (config,) = data["configs"]
    assert (config["config_name"], config["default"]) == ("task2", True)
    assert {"split": "test_ood", "path": "task2/test_ood-*.parquet"} in config["data_files"]


def test_the_default_is_task1():
    from tests.dataset_builders.test_certificate import certificate_of

    facts = CardFacts("someone/some-data", all_tasks(certificate_of))
    configs = front_matter_of(card_text(facts))["configs"]
    assert [each["config_name"] for each in configs] == ["task1", "task2", "task3", "task4"]
    assert [each.get("default", False) for each in configs] == [True, False, False, False]


def all_tasks(certificate_of):
    from dataset_builders.certificate import ConfigSummary
    from dataset_builders.editions import SPLITS
    from dataset_builders.tasks import TASKS
    from tests.dataset_builders.synthetic_folder import METADATA

    counts = dict.fromkeys(SPLITS, 300)
    summaries = tuple(ConfigSummary(name, task, "GFN2-xTB", METADATA, counts, counts) for name, task in TASKS.items())
    return DataSetCertificate(summaries, tuple(certificate_of(name) for name in TASKS), ())


def test_the_card_says_what_the_certificate_says():
    from tests.dataset_builders.test_certificate import certificate_of

    certificate = all_tasks(certificate_of)
    assert count_rows(certificate) == 4800
    text = card_text(CardFacts("someone/some-data", certificate))
    assert "| task3 | 42 | 30 | 0 | 30/30 | 18/30 | 15/30 | 15/15 | 0.13 |" in text
    assert "| task4 | 48 | 16 | 0 | 16/16 | 16/16 | 0/16 | - | 0.19 |" in text
    assert "4,800 rows" in text
    assert "are public by name (arXiv 2605.08988)" in text
    assert "designed for this benchmark" in text
    assert 'load_dataset("someone/some-data", "task3")' in text
    assert "Not in this repository" not in text
    assert "python -m dataset_builders certify DIR" in text


def test_every_column_stands_on_the_card(published):
    text = (published / "README.md").read_text()
    for name, _, meaning in COLUMNS:
        assert re.search(rf"^\| `{name}` \| .* \| {re.escape(meaning)} \|$", text, re.MULTILINE)


def test_what_is_missing_and_where_the_source_is(published):
    text = (published / "README.md").read_text()
    assert "Not in this repository: task1, task3, task4." in text
    assert "Source code: <https://example.org/source>." in text


def test_the_same_folder_gets_the_same_card(published):
    facts = certify(published).card_facts("someone/some-data")
    assert card_text(facts) == card_text(facts)
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", card_text(facts))


def test_licence(published):
    assert "https://creativecommons.org/licenses/by/4.0/" in (published / "LICENSE.md").read_text()


def test_no_card_without_a_passed_certificate(tmp_path):
    failing = TaskCertificate("task1", 1, 1, (), (Coverage(1, 1, ("OH-2-H",)),), None, 0.5)
    with pytest.raises(CertificateError, match=r"does not pass its solvability certificate"):
        write_card(tmp_path, CardFacts("someone/some-data", DataSetCertificate((), (failing,), ())))
    assert not (tmp_path / "README.md").exists()


@pytest.mark.parametrize(
    ("n_rows", "category"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (610_000, "100K<n<1M"), (20_000_000, "10M<n<100M")],
)
def test_size_categories(n_rows, category):
    assert size_category(n_rows) == category


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
