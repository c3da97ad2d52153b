import pytest

from dataset_builders.card.certified_card import certify_and_describe
from dataset_builders.card.task_picture import PICTURE
from dataset_builders.core.errors import CertificateError
from tests.dataset_builders.synthetic_folder import edit_rows, path_of, write_folder


def test_a_folder_that_is_no_longer_certified_keeps_no_card(tmp_path):
    folder = write_folder(tmp_path / "out", ("task4",))
    assert certify_and_describe(folder).ok
    assert {"README.md", PICTURE} <= {path.name for path in folder.iterdir()}

    def shift(rows):
        rows[3]["energy"] += 50.0

    edit_rows(path_of(folder, "task4", "train"), shift)
    with pytest.raises(CertificateError, match="out was built, but is not certified"):
        certify_and_describe(folder)
    assert not {"README.md", PICTURE} & {path.name for path in folder.iterdir()}
    assert path_of(folder, "task4", "train").is_file()
