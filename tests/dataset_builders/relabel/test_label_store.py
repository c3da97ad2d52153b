import threading
from pathlib import Path

import numpy as np
import pytest

from dataset_builders.core.errors import DataError, SetupError
from dataset_builders.relabel import label_store
from dataset_builders.relabel.label_store import KEY_BYTES, label_file, open_store, record_of


def label_of(number, n_atoms=3):
    """A key, an energy and forces; one key in four ends in a zero byte, which NumPy drops from its strings."""
    key = bytes([number + 1]) * 4 + bytes([7, 0, number, 9]) * 2 + bytes([1, 2, 3, number % 4])
    assert len(key) == KEY_BYTES
    return key, -100.0 * number, np.random.default_rng(number).normal(size=(n_atoms, 3))


def keys_of(numbers):
    return np.array([label_of(number)[0] for number in numbers], f"S{KEY_BYTES}")


def add_some(folder, numbers):
    with label_file(folder) as add:
        for number in numbers:
            add(*label_of(number, 2 + number % 5))


def check(store, numbers):
    for number, (energy, forces) in zip(numbers, store.labels_of(keys_of(numbers)), strict=True):
        assert energy == label_of(number)[1]
        np.testing.assert_array_equal(forces, label_of(number, 2 + number % 5)[2])


def test_labels_come_back_bit_by_bit_in_any_order(tmp_path):
    add_some(tmp_path, range(20))
    add_some(tmp_path, range(20, 40))
    store = open_store(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1, "a worker keeps its file"
    check(store, [39, 0, 7, 7, 20, 4])
    assert store.has(keys_of([3, 50, 39])).tolist() == [True, False, True]


def test_an_empty_or_absent_folder_has_no_labels(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        assert open_store(folder).has(keys_of([1])).tolist() == [False]


def test_workers_of_one_process_have_files_of_their_own(tmp_path):
    threads = [threading.Thread(target=add_some, args=(tmp_path, range(n, 40, 4))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(tmp_path.iterdir())) == 4
    check(open_store(tmp_path), range(40))


def test_a_label_that_two_workers_made_counts_once(tmp_path):
    add_some(tmp_path, range(5))
    label_store._OWN.name = None
    add_some(tmp_path, range(3, 8))
    store = open_store(tmp_path)
    assert len(store.keys) == 8
    check(store, range(8))


def only_file(folder):
    (path,) = folder.glob("*.labels")
    return path


@pytest.mark.parametrize("left", [1, 31, 32, 33, 80, 107])
def test_a_file_that_ends_within_a_label_has_those_before_it(tmp_path, left):
    content = b"".join(record_of(*label_of(number)) for number in range(3))
    n_bytes = len(content) // 3
    assert n_bytes == 108
    (tmp_path / "a.labels").write_bytes(content[: 2 * n_bytes + left])
    assert open_store(tmp_path).has(keys_of(range(3))).tolist() == [True, True, False]


@pytest.mark.parametrize("end", [bytes(40), bytes(5000), b"lbl1" + bytes(4000)])
def test_an_end_that_a_power_cut_left_empty_is_passed_over(tmp_path, end):
    (tmp_path / "a.labels").write_bytes(record_of(*label_of(0)) + end)
    assert open_store(tmp_path).has(keys_of([0, 1])).tolist() == [True, False]


def write_changed(folder, place):
    content = bytearray(b"".join(record_of(*label_of(number)) for number in range(3)))
    content[place] ^= 0x10
    (folder / "a.labels").write_bytes(content)


@pytest.mark.parametrize("place", [0, 2, 6, 20, 40, 100, 105])
def test_a_change_within_the_labels_is_told(tmp_path, place):
    write_changed(tmp_path, place)
    with pytest.raises(DataError, match=r"a\.labels is damaged at byte 0, within its labels; delete it"):
        open_store(tmp_path)


def test_behind_a_length_that_reaches_beyond_the_end_nothing_counts(tmp_path):
    write_changed(tmp_path, 5)
    assert not open_store(tmp_path).has(keys_of([0, 1, 2])).any()


def test_nothing_follows_a_label_that_could_not_be_written(tmp_path, monkeypatch):
    add_some(tmp_path, range(3))

    def disk_is_full(stream, content):
        stream.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(label_store, "_write", disk_is_full)
        with pytest.raises(SetupError, match=f"cannot write to {tmp_path}: No space left on device; free some space"):
            add_some(tmp_path, [3])
    add_some(tmp_path, range(3, 6))
    assert len(list(tmp_path.iterdir())) == 2
    check(open_store(tmp_path), range(6))


def test_a_folder_of_an_earlier_version_is_read(tmp_path):
    for number in range(4):
        key, energy, forces = label_of(number, 2 + number % 5)
        np.savez(tmp_path / f"{key.hex()}.npz", energy=energy, forces=forces)
    np.savez(tmp_path / "notes.npz", energy=1.0)
    add_some(tmp_path, range(3, 6))
    check(open_store(tmp_path), range(6))


def test_other_files_come_after_those_of_the_folder(tmp_path):
    add_some(tmp_path, [0])
    key, _, forces = label_of(0, 2)
    with Path(tmp_path / "copy").open("w+b") as copy:
        copy.write(record_of(key, 5.0, forces) + record_of(label_of(1)[0], 6.0, forces))
        copy.flush()
        energies = [energy for energy, _ in open_store(tmp_path, [copy]).labels_of(keys_of([0, 1]))]
    assert energies == [0.0, 6.0]
