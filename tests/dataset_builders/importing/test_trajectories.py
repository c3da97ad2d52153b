"""Which numbers of a frame are its labels."""

import gc
import json
import tracemalloc

import numpy as np
import pytest
from ase.db import connect
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_builders.core.errors import DataError
from dataset_builders.core.units import BOHR, HARTREE
from dataset_builders.importing.trajectories import RawFrame, read_frames
from tests.dataset_builders.trajectory_text import PROPERTIES, ROWS, frame_text, how, images

NUMBERS = np.array([row.split()[1:] for row in ROWS], float)
POSITIONS, FORCES = NUMBERS[:, :3], NUMBERS[:, 3:]


def read(path, **changes):
    return list(read_frames(path, how(**changes)))


def frame_of(tmp_path, text, **changes):
    (tmp_path / "a.xyz").write_text(text)
    (found,) = read(tmp_path / "a.xyz", **changes)
    return found


def test_labels_in_their_units(tmp_path):
    found = frame_of(tmp_path, frame_text(), energy_factor=HARTREE, length_factor=BOHR, force_factor=HARTREE / BOHR)
    assert found.energy == pytest.approx(-2079.5 * HARTREE)
    assert found.forces == pytest.approx(FORCES * HARTREE / BOHR)
    assert found.positions == pytest.approx(POSITIONS * BOHR)


def test_a_gradient_points_against_the_forces(tmp_path):
    text = frame_text("Properties=species:S:1:pos:R:3:dft_total_gradient:R:3 dft_total_energy=-76.0")
    keys = {"energy_key": "dft_total_energy", "gradients_key": "dft_total_gradient"}
    found = frame_of(tmp_path, text, **keys, force_factor=-HARTREE / BOHR)
    assert found.forces == pytest.approx(-FORCES * HARTREE / BOHR)
    assert found.energy == -76.0


ENERGY = f"{PROPERTIES} energy"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (frame_text(PROPERTIES), "no energy"),
        (frame_text(f"{PROPERTIES} stress='1 0 0 0 1 0 0 0 1'"), "no energy"),
        (frame_text(f"{PROPERTIES} REF_energy=-1"), "no energy; found REF_energy, which labels.energy_key in"),
        (frame_text(f"{PROPERTIES} free_energy=-1"), "no energy; found free_energy"),
        (
            frame_text(f"{ENERGY}=-309.6D+00"),
            "energy '-309.6D+00', which is not a number; write the exponent with an E",
        ),
        (frame_text(f"{ENERGY}=-76h"), "energy '-76h', which is not a number"),
        (frame_text(f"{ENERGY}='-76 eV'"), "energy '-76 eV', which is not a number"),
        (frame_text(f"{ENERGY}"), "energy 'True', which is not a number"),
        (frame_text(f"{ENERGY}='-76 -75'"), "an energy of shape (2,) under energy"),
        (frame_text(f"{ENERGY}=nan"), "positions, energy or forces that are not finite"),
        (frame_text(f"{ENERGY}=-1 REF_energy=-2"), "energy -1 and REF_energy -2; name the label in the map"),
        (frame_text(f"{ENERGY}=-1 Energy=-2"), "energy -1 and Energy -2"),
        (frame_text(f"{ENERGY}=-1", [*ROWS[:2], ROWS[2].replace("0.09000000", "nan")]), "that are not finite"),
        (frame_text(f"{ENERGY}=-1", [*ROWS[:2], ROWS[2].replace("-0.75720000", "-inf")]), "that are not finite"),
        (frame_text("Properties=species:S:1:pos:R:3:vel:R:3 energy=-1"), "no forces"),
        (
            frame_text("Properties=species:S:1:pos:R:3:gradient:R:3 energy=-1"),
            "no forces; found gradient, which labels.forces_key or labels.gradients_key in the map can select",
        ),
        (
            frame_text("Properties=species:S:1:pos:R:3:forces:R:2:x:R:1 energy=-1"),
            "forces of shape (3, 2) under forces",
        ),
        (frame_text("Properties=species:S:1:pos:R:3:forces:S:3 energy=-1"), "expected forces to be R, not S"),
        (frame_text(f"{ENERGY}=-1 charge=1"), "charge 1; expected a neutral molecule, with 0"),
    ],
)
def test_labels_that_are_not_there_or_not_clear(tmp_path, text, message):
    found = frame_of(tmp_path, text)
    assert not isinstance(found, RawFrame)
    assert message in found.problem


def test_two_sets_of_forces(tmp_path):
    properties = "Properties=species:S:1:pos:R:3:forces:R:3:REF_forces:R:3"
    rows = [f"{row} 9.0 9.0 9.0" for row in ROWS]
    text = frame_text(f"{properties} energy=-1", rows)
    assert "REF_forces [9. 9. 9.] on the first atom; name the label" in frame_of(tmp_path, text).problem
    assert frame_of(tmp_path, text, forces_key="REF_forces").forces == pytest.approx(np.full((3, 3), 9.0))
    assert frame_of(tmp_path, text, forces_key="forces").forces == pytest.approx(FORCES)
    assert "no forces under dft_forces" in frame_of(tmp_path, text, forces_key="dft_forces").problem


def test_a_gradient_that_agrees_with_the_forces(tmp_path):
    properties = "Properties=species:S:1:pos:R:3:forces:R:3:gradient:R:3"
    rows = [" ".join([row, *(f"{-value:.8f}" for value in force)]) for row, force in zip(ROWS, FORCES, strict=True)]
    assert frame_of(tmp_path, frame_text(f"{properties} energy=-1 REF_energy=-1.0", rows)).forces == pytest.approx(
        FORCES
    )


def test_a_named_energy_is_the_label(tmp_path):
    text = frame_text(f"{ENERGY}=-1 REF_energy=-2")
    assert frame_of(tmp_path, text, energy_key="REF_energy").energy == -2.0
    assert frame_of(tmp_path, text, energy_key="energy").energy == -1.0
    assert (
        "no energy under dft_energy; found REF_energy, energy, which"
        in frame_of(tmp_path, text, energy_key="dft_energy").problem
    )


def test_a_frame_without_labels_keeps_its_geometry(tmp_path):
    numbers, positions = frame_of(tmp_path, frame_text(PROPERTIES), length_factor=2.0).geometry
    assert numbers.tolist() == [8, 1, 1]
    assert positions == pytest.approx(2.0 * POSITIONS)


def test_a_database_says_charge_where_ase_leaves_it_behind(tmp_path):
    with connect(tmp_path / "a.db", use_lock_file=False) as database:
        database.write(images(1)[0], total_charge=1)
        database.write(images(1)[0], data={"spin": 3})
        database.write(images(1)[0])
    first, second, third = read(tmp_path / "a.db")
    assert (first.problem, second.problem) == (
        "total_charge 1; expected a neutral molecule, with 0",
        "spin 3, which is not a closed shell",
    )
    assert isinstance(third, RawFrame)


def test_arrays_of_a_trajectory_say_charge_and_spin(tmp_path):
    atoms = images(3)
    atoms[0].set_initial_charges([0.0, 0.0, 1.0])
    atoms[1].set_initial_magnetic_moments([0.0, 1.0, 1.0])
    write(tmp_path / "a.traj", atoms)
    first, second, third = read(tmp_path / "a.traj")
    assert "initial_charges of the atoms with sum 1" in first.problem
    assert "initial_magmoms of the atoms up to 1 with sum 2" in second.problem
    assert isinstance(third, RawFrame)


def test_a_file_is_never_in_memory_as_a_whole(tmp_path):
    path = tmp_path / "a.xyz"
    path.write_text(20_000 * frame_text())
    gc.collect()
    tracemalloc.start()
    count = sum(1 for _ in read_frames(path, how(stride=100)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 200
    assert peak < path.stat().st_size / 3


_VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        10**400,
        -1.5,
        float("nan"),
        "x",
        "-1D0",
        [],
        [1],
        [1, 2, 3],
        [[1], [1, 2]],
        {"a": 1},
        [[0.0] * 3] * 3,
    ]
)
_KEYS = st.sampled_from(
    ["energy", "REF_energy", "forces", "gradient", "charge", "spin", "magmoms", "positions", "numbers", "x"]
)


@given(st.dictionaries(_KEYS, _VALUES, max_size=4), st.dictionaries(_KEYS, _VALUES, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_values_in_a_database_give_frames_or_one_clear_error(tmp_path_factory, columns, data):
    """As others than ASE may write it: what ASE checks before it writes is not checked here."""
    path = tmp_path_factory.getbasetemp() / "any.json"
    row = {
        "numbers": [8, 1, 1],
        "positions": POSITIONS.tolist(),
        "unique_id": "a",
        "ctime": 1.0,
        "mtime": 1.0,
        "user": "x",
    }
    path.write_text(json.dumps({"1": row | columns | {"data": data}, "ids": [1], "nextid": 2}))
    reads_or_says_why(path)


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(0, 30), st.binary(max_size=6)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
@pytest.mark.parametrize("kind", ["extxyz", "traj", "json", "db"])
def test_any_damage_gives_frames_or_one_clear_error(tmp_path_factory, kind, edits):
    whole = tmp_path_factory.getbasetemp() / f"whole.{kind}"
    if not whole.exists():
        write(whole, images(2), format=kind)
    content = whole.read_bytes()
    for place, cut, piece in edits:
        content = content[:place] + piece + content[place + cut :]
    path = whole.with_name(f"any.{kind}")
    path.write_bytes(content)
    reads_or_says_why(path)


def reads_or_says_why(path):
    try:
        found = read(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017
        return
    for frame in found:
        if isinstance(frame, RawFrame):
            assert np.isfinite(frame.energy)
            assert np.isfinite(frame.forces).all()
        else:
            assert frame.problem
