from dataclasses import replace

import pytest

from dataset_builders.core.errors import DataError, UsageError
from harness.data.dataset import open_dataset
from harness.peg.one_edition import DATASET_NAME, described, keep_to_one_edition


def test_the_data_set_is_named_and_another_is_refused_only_in_an_update(tiny_dataset, tmp_path):
    dataset = replace(open_dataset(str(tiny_dataset)), id="mine", edition="standard")
    other = replace(dataset, id="other", content_hash="0" * 64)
    keep_to_one_edition(tmp_path, dataset, is_update=True)
    assert described(tmp_path) == f"Data set: mine, edition standard, {dataset.content_hash[:12]}."
    keep_to_one_edition(tmp_path, dataset, is_update=True)
    with pytest.raises(UsageError, match=r"of mine, edition standard, .* is of other, .* not mixed"):
        keep_to_one_edition(tmp_path, other, is_update=True)
    keep_to_one_edition(tmp_path, other, is_update=False)
    assert "other" in described(tmp_path)


def test_without_tables_ml_peg_gets_the_error_that_it_expects(tmp_path):
    with pytest.raises(FileNotFoundError, match=DATASET_NAME):
        described(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"id": "x"}'])
def test_a_damaged_record_is_refused(tmp_path, text):
    (tmp_path / DATASET_NAME).write_text(text)
    with pytest.raises(DataError, match=r"does not name a data set .*; run `ml_peg analyse` again"):
        described(tmp_path)
