import os
import stat

import pytest

from dataset_builders.core.whole_file import whole_file, write_text_whole


def test_a_file_takes_its_place_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_text_whole(path, "first\r\nsecond\n")
    assert path.read_bytes() == b"first\r\nsecond\n"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_an_error_leaves_the_old_file_and_no_remains(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def fail_halfway():
        with whole_file(path) as partial:
            partial.write_text("half of the ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write_text_whole(tmp_path / "file" / "below.txt", "text")


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_others_may_read_what_a_library_writes_for_its_owner_alone(tmp_path, mask, expected):
    path = tmp_path / "model.safetensors"
    former = os.umask(mask)
    try:
        with whole_file(path) as partial:
            partial.unlink()  # as safetensors does, which moves a private file here
            partial.touch(mode=0o600)
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == expected
