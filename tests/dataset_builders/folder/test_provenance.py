"""The record of imported frames, which stands in the metadata of files that anyone may have written."""

import pytest

from dataset_builders.folder.provenance import import_record_of
from dataset_builders.tasks.editions import MAX_FRAMES


def metadata_of(n_frames, left_out=()):
    frames = {"OH-2-H": {"secondary": {"n_frames": n_frames, "left_out": list(left_out)}}}
    record = {"source": "a", "licence": "MIT", "stride": 1, "temperature": 300.0, "files": [], "frames": frames}
    return {"edition": "imported", "imported": record}


def test_frames_of_a_split_are_those_of_its_bursts_without_those_left_out():
    record = import_record_of(metadata_of(27, left_out=[3, 6]))
    assert record.frames_of("OH-2-H", "validation") == {0, 1, 2, 4, 25, 26}
    assert record.frames_of("OH-2-H", "test_id") == {5, *range(7, 25)}
    assert record.frames_of("OH-2-H", "train") == set()
    assert record.frames_of("F-2-H", "test_id") == set()


@pytest.mark.parametrize("n_frames", [MAX_FRAMES + 1, 10**12, 10**30, -1, 1.5, "3"])
def test_a_record_of_more_frames_than_any_file_holds_is_none(n_frames):
    """Listing them would take all memory."""
    assert import_record_of(metadata_of(n_frames)) is None


@pytest.mark.parametrize("name", ["source", "licence"])
@pytest.mark.parametrize("text", ["", "MIT\n# Another heading", "MIT\x1b[2J", "a" * 501, 3])
def test_a_record_whose_text_would_leave_its_line_on_a_card_is_none(name, text):
    metadata = metadata_of(5)
    metadata["imported"][name] = text
    assert import_record_of(metadata) is None
