import pyarrow.parquet as pq
import pytest
import yaml

from dataset_builders.card.metadata import (
    SplitSize,
    count_rows,
    front_matter,
    size_category,
    sizes_of,
    with_keys_of_others,
)
from dataset_builders.certify.coverage import ConfigSummary, DataSetCertificate
from dataset_builders.core.errors import DataError
from dataset_builders.folder.schema import COLUMNS
from dataset_builders.tasks.editions import SPLITS
from dataset_builders.tasks.regions import TASKS
from tests.dataset_builders.synthetic_folder import METADATA, path_of, write_folder


def certificate_of(*configs, n_rows=300):
    counts = dict.fromkeys(SPLITS, n_rows)
    summaries = (ConfigSummary(name, TASKS[name[:5]], "GFN2-xTB", METADATA, counts, counts) for name in configs)
    return DataSetCertificate(tuple(summaries), (), ())


def front_matter_of(*configs):
    sizes = {name: dict.fromkeys(SPLITS, SplitSize(1000, 10)) for name in configs}
    return yaml.safe_load(front_matter(certificate_of(*configs), sizes))


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    return datasets


def test_what_the_hub_filters_by():
    data = front_matter_of("task1", "task2", "task3", "task4")
    assert data["license"] == "cc-by-4.0"
    assert data["annotations_creators"] == ["machine-generated"]
    assert data["size_categories"] == ["1K<n<10K"]
    assert {"chemistry", "molecules", "mlip", "compositional-generalization", "ood"} <= set(data["tags"])
    assert "language" not in data
    assert [each["config_name"] for each in data["configs"]] == ["task1", "task2", "task3", "task4"]
    assert [each.get("default", False) for each in data["configs"]] == [True, False, False, False]


@pytest.mark.parametrize("configs", [("task2",), ("task2", "task3-pbe")])
def test_the_client_reads_features_and_splits_as_they_were_written(configs):
    from datasets import List, Value
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    infos = DatasetInfosDict.from_dataset_card_data(DatasetCardData(**front_matter_of(*configs)))
    assert tuple(infos) == configs
    info = infos[configs[-1]]
    assert list(info.features) == [name for name, _, _ in COLUMNS]
    assert info.features["positions"] == List(Value("float32"))
    assert info.features["n_atoms"] == Value("int16")
    assert {name: (each.num_examples, each.num_bytes) for name, each in info.splits.items()} == dict.fromkeys(
        SPLITS, (300, 1000)
    )
    assert (info.download_size, info.dataset_size) == (40, 4000)


def test_sizes_are_those_that_the_client_counts(tmp_path, datasets):
    folder = write_folder(tmp_path / "folder")
    path = path_of(folder, "task2", "train")
    table = pq.read_table(path)
    path.unlink()
    # Several files, and row groups of uneven length.
    with pq.ParquetWriter(folder / "task2" / "train-00000-of-00002.parquet", table.schema) as writer:
        for start, stop in ((0, 20), (20, 90), (90, 97)):
            writer.write_table(table.slice(start, stop - start))
    pq.write_table(table.slice(97), folder / "task2" / "train-00001-of-00002.parquet", row_group_size=11)
    sizes = sizes_of(folder, certificate_of("task2"))["task2"]
    files = {split: str(folder / "task2" / f"{split}-*.parquet") for split in SPLITS}
    info = datasets.load_dataset("parquet", data_files=files)["train"].info
    assert {split: sizes[split].n_bytes for split in SPLITS} == {
        split: info.splits[split].num_bytes for split in SPLITS
    }
    assert sum(size.n_file_bytes for size in sizes.values()) == info.download_size


@pytest.mark.parametrize(
    ("n_rows", "category"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (610_000, "100K<n<1M"), (20_000_000, "10M<n<100M")],
)
def test_size_categories(n_rows, category):
    assert size_category(n_rows) == category


def test_rows_are_counted_over_all_configurations():
    assert count_rows(certificate_of("task1", "task2", n_rows=10)) == 80


CARD = "---\nlicense: cc-by-4.0\ntags:\n- a\n---\n\n# Ours\n"


@pytest.mark.parametrize("present", ["", "# Theirs\n", "---\n\n---\n# Theirs\n", "---\nlicense: mit\ntags: [b]\n---\n"])
def test_a_card_without_keys_of_others_is_ours(present):
    assert with_keys_of_others(CARD, present) == CARD


def test_keys_of_others_keep_their_very_lines():
    lines = 'language: no  # Norwegian\nextra_gated_fields:\n  I agree: checkbox\n\n  # why\n  Why: text\nviewer: "yes"'
    present = f"---\ntags: [b]\n{lines}\nlicense: mit\n---\n# Theirs\n"
    merged = with_keys_of_others(CARD, present)
    assert merged == f"---\nlicense: cc-by-4.0\ntags:\n- a\n{lines}\n---\n\n# Ours\n"
    assert with_keys_of_others(CARD, merged) == merged


def test_other_line_ends_and_a_byte_order_mark_do_no_harm():
    present = "\ufeff---\r\nlanguage: en\r\nlicense: mit\r\n---\r\n"
    assert with_keys_of_others(CARD, present).startswith("---\nlicense: cc-by-4.0\ntags:\n- a\nlanguage: en\n---\n")


@pytest.mark.parametrize(
    "block",
    [
        *("a: [", "{a: 1, b: 2}", "- a", "text", "a: 1\na: 2", "  a: 1\n  b: 2", "license: &x 1\na: *x"),
        *("a: !!timestamp 2026-99-99", 'a: !!int ""', "a: !!bool maybe"),
    ],
)
def test_front_matter_that_cannot_be_kept_is_named(block):
    with pytest.raises(DataError, match=r"README\.md cannot be read .*correct it on the Hub"):
        with_keys_of_others(CARD, f"---\n{block}\n---\n")


def test_front_matter_larger_than_any_hand_writes_is_not_read():
    bomb = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))])
    for block in (bomb, "a: " + "[" * 2000):
        with pytest.raises(DataError, match=r"the YAML at the head of the repo's README\.md is more than"):
            with_keys_of_others(CARD, f"---\n{block}\n---\n")
