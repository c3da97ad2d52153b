"""Text that is whole is read as ASE reads it; of other text, no frame is lost without a word."""

import io
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from dataset_builders.importing.extended_xyz import xyz_frames
from tests.dataset_builders.trajectory_text import PROPERTIES, ROWS, frame_text

FRAME = frame_text()
TEXT = 4 * FRAME
LINES = TEXT.splitlines(keepends=True)


def frames(text, stride=1):
    return list(xyz_frames(io.StringIO(text), Path("a.xyz"), stride))


def problem(text):
    """What is wrong with the only frame."""
    (found,) = frames(text)
    assert isinstance(found, str), found.info
    return found


@pytest.mark.parametrize("end", ["", "\n", " \n\t\n\n"])
def test_blank_lines_at_the_end_say_nothing(end):
    assert len(frames(TEXT + end)) == 4


def test_a_stride_counts_the_frames_between():
    assert [atoms.info["step"] for atoms in frames(steps(10), 3)] == [0, 3, 6, 9]
    with pytest.raises(DataError, match="ends in frame 3, after 2 of 3 atoms"):
        frames(steps(4).rsplit("\n", 2)[0] + "\n", 3)


def steps(count):
    return "".join(frame_text(f"{PROPERTIES} energy=-1.5 step={step}") for step in range(count))


@pytest.mark.parametrize("place", range(len(LINES)))
def test_a_blank_line_before_any_line_loses_no_frame(place):
    """Only that of a comment can stand, and then the comment is what is missing."""
    text = "".join([*LINES[:place], "\n", *LINES[place:]])
    with pytest.raises(DataError, match=r"a\.xyz,? (frame \d, )?line \d+.*(blank|instead of)"):
        frames(text)


@pytest.mark.parametrize("place", range(len(LINES)))
def test_a_line_that_is_missing_loses_no_frame(place):
    """The file is refused, or ends within a frame, or one frame says what is wrong with it; never one frame less."""
    try:
        found = frames("".join([*LINES[:place], *LINES[place + 1 :]]))
    except DataError as error:
        assert str(error).startswith("a.xyz")  # noqa: PT017
    else:
        pytest.fail(f"{len(found)} frames")


@pytest.mark.parametrize("place", range(len(LINES)))
def test_a_line_twice_is_refused(place):
    with pytest.raises(DataError, match=r"a\.xyz, frame \d, line \d+"):
        frames("".join([*LINES[: place + 1], *LINES[place:]]))


def test_a_file_that_was_cut_is_refused():
    """Also within the last number, which is a number still."""
    for size in range(2, len(FRAME)):
        with pytest.raises(DataError, match=r"a\.xyz"):
            frames(TEXT[: len(TEXT) - size])


def test_a_whole_last_line_needs_no_line_break():
    assert len(frames(TEXT[:-1])) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + "END\n", "frame 4, line 21: 'END' instead of the number of atoms of a frame"),
        (TEXT + "\n\nEND\n", "line 21 is blank where frame 4 should begin, and text follows in line 23"),
        ("# made by hand\n" + TEXT, "frame 0, line 1: '# made by hand'"),
        (TEXT + "# next\n" + FRAME, "frame 4, line 21: '# next'"),
        ("0\n\n" + TEXT, "frame 0, line 1: a frame of 0 atoms; expected a molecule"),
        ("999999999\n\n" + TEXT, "a frame of 999,999,999 atoms"),
        ("3.0" + TEXT[1:], "frame 0, line 1: '3.0'"),
        ("+3" + TEXT[1:], "frame 0, line 1: '+3'"),
        ("1_2" + TEXT[1:], "frame 0, line 1: '1_2'"),
        ("\n" + TEXT, "line 1 is blank where frame 0 should begin"),
        ("9" * 2_000_000, "line 1 has more than 1,000,000 characters"),
        ("&control\n", "`ase convert` them to .extxyz"),
    ],
)
def test_what_is_not_frames_from_end_to_end_is_refused(text, message):
    with pytest.raises(DataError) as caught:
        frames(text)
    assert message in str(caught.value)


def row(place, value):
    changed = ROWS[1].split()
    changed[place : place + 1] = value.split()
    return frame_text(rows=(ROWS[0], " ".join(changed), ROWS[2]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (row(4, "-0.3D+00"), "line 4: forces '-0.3D+00' is not a number; write the exponent with an E"),
        (row(1, "1_0"), "line 4: pos '1_0' is not a number"),
        (row(1, "********"), "line 4: pos '********' is not a number"),
        (row(1, "0x10"), "line 4: pos '0x10' is not a number"),
        (row(1, "٣"), "line 4: pos '٣' is not a number"),
        (row(6, "0.1 0.2"), "line 4: 8 columns; expected 7, as in Properties"),
        (row(6, ""), "line 4: 6 columns; expected 7, as in Properties"),
        (row(0, "Xq"), "line 4: 'Xq' is not an element"),
        (row(0, "X"), "line 4: 'X' is not an element"),
        (frame_text("energy=-1"), "line 3: 7 columns; expected 4, as in Properties"),
        (frame_text(f"{PROPERTIES} energy=-1 energy=-2"), "energy occurs twice in the comment line"),
        (frame_text(f"{PROPERTIES} energy=-1_0"), "energy '-1_0' is not a number"),
        (frame_text(f"{PROPERTIES} name='x charge=1"), "a closing ' is missing"),
        (frame_text(f"{PROPERTIES} name=[x charge=1"), "a closing ] is missing"),
        (frame_text(f'{PROPERTIES} name="" charge=1'), "an empty value of name"),
        (frame_text(f"{PROPERTIES} name= charge=1"), "a key or a value is missing next to an ="),
        (frame_text(f"{PROPERTIES} name=x\\ charge=1"), "a backslash before a space"),
        (frame_text(f"={PROPERTIES}"), "a key or a value is missing next to an ="),
        (frame_text(f"{PROPERTIES}:forces:R:3"), "name a property twice"),
        (frame_text(f"{PROPERTIES} forces=1"), "forces is both in the comment line and among the columns"),
        (frame_text("Properties=species:S:1:forces:R:3:pos:R:2:x:R:1"), "expected pos:R:3"),
        (frame_text("Properties=pos:R:3:forces:R:3:tag:S:1"), "expected pos:R:3"),
        (frame_text("Properties=species:S:1:pos:R:3:forces:Q:3"), "Properties 'species:S:1:pos:R:3:forces:Q:3'"),
        (frame_text("Properties=3"), "Properties 3"),
        (frame_text(f'{PROPERTIES} Lattice="1 2 3"'), "a comment line that ASE cannot read"),
        (frame_text(f'{PROPERTIES} x="_JSON [1"'), "a comment line that ASE cannot read"),
    ],
)
def test_a_frame_that_is_malformed_is_one_frame_all_the_same(text, message):
    assert message in problem(text)
    found = frames(FRAME + text + FRAME)
    assert [isinstance(each, str) for each in found] == [False, True, False]


def test_symbols_and_numbers_have_to_agree():
    comment = "Properties=species:S:1:pos:R:3:Z:I:1"
    rows = ["O 0 0 0.1 8", "H 0 0.7 -0.4 1", "H 0 -0.7 -0.4 1"]
    assert frames(frame_text(comment, rows))[0].numbers.tolist() == [8, 1, 1]
    assert problem(frame_text(comment, [*rows[:2], "H 0 -0.7 -0.4 9"])) == "line 5: species H with atomic number 9"


@pytest.mark.parametrize(
    "comment",
    [
        f"{PROPERTIES} energy=-1.5 smiles=C=C(C=O)",
        f"{PROPERTIES} energy = -1.5 charge= 0",
        f'{PROPERTIES} energy=-1.5 name="a b=3" list={{1 2}} flag pbc="F F F"',
        f'{PROPERTIES} energy=-1.5 path="C:\\\\x y" d="_JSON {{\\"a\\": [1, 2]}}"',
        f'{PROPERTIES} energy=-1.5 Lattice="9 0 0 0 9 0 0 0 9" stress="1 0 0 0 1 0 0 0 1"',
        f"{PROPERTIES} energy=-1.5 a={chr(34)}{chr(34)}",
    ],
)
def test_whole_text_is_read_as_ase_reads_it(comment):
    (found,) = frames(frame_text(comment))
    (expected,) = read(io.StringIO(frame_text(comment)), ":", format="extxyz")
    assert found == expected
    assert found.info.keys() == expected.info.keys()
    assert found.get_potential_energy() == -1.5
    assert np.array_equal(found.get_forces(), expected.get_forces())


_PIECES = st.sampled_from(
    [
        "\n",
        " ",
        "=",
        '"',
        "'",
        "\\",
        "{",
        "]",
        "charge=1",
        "energy=-2",
        "3\n",
        "O 0 0 0\n",
        "nan",
        "D",
        "_",
        "\t",
        "é",
        FRAME,
    ]
)


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, 4), _PIECES), max_size=4))
@settings(max_examples=200, deadline=None)
def test_any_text_gives_frames_or_one_clear_error(edits):
    """The frames that are given hold every line."""
    text = TEXT
    for place, cut, piece in edits:
        text = text[:place] + piece + text[place + cut :]
    try:
        found = frames(text)
    except DataError as error:
        assert str(error).startswith("a.xyz")  # noqa: PT017
        return
    assert len(found) == counted(text)


def counted(text):
    lines = text.rstrip().split("\n")
    place = count = 0
    while place < len(lines):
        place += int(lines[place]) + 2
        count += 1
    assert place == len(lines)
    return count


@given(st.text(alphabet=st.sampled_from(" =\"'\\{}[]ab1.-T,\t"), max_size=25))
@settings(max_examples=300, deadline=None)
def test_no_key_of_a_comment_line_is_lost(comment):
    """A charge that stands behind any text is noticed, is part of a quote, or the frame is malformed."""
    (found,) = frames(frame_text(f"{PROPERTIES} {comment} charge=1"))
    assert isinstance(found, str) or found.info.get("charge") == 1
