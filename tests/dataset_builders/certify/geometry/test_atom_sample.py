import numpy as np

from dataset_builders.certify.geometry.atom_sample import AtomSample
from dataset_builders.certify.geometry.support import Group
from dataset_builders.chemistry.sampling import embed

ETHANE = np.stack([embed("CC", seed) for seed in (1, 2)])
BUTANE = np.stack([embed("CCCC", seed) for seed in (1, 2, 3)])
FIRST, SECOND = Group("test_id", "", 2), Group("test_id", "", 4)


def sample_of(size, seed=0):
    sample = AtomSample(size, seed)
    for _ in range(4):
        sample.add("CC", ETHANE, FIRST)
        sample.add("CCCC", BUTANE, SECOND)
    return sample.described()


def one_atom(seed):
    sample = AtomSample(1, seed)
    sample.add("CC", ETHANE[:1], FIRST)
    return sample.described()


def test_everything_is_kept_if_it_fits():
    atoms = sample_of(1000)
    assert len(atoms.atomic_numbers) == 4 * (2 * 8 + 3 * 14) == atoms.descriptors.shape[0]
    assert sorted(atoms.atomic_numbers.tolist()) == [1] * (4 * (2 * 6 + 3 * 10)) + [6] * (4 * (2 * 2 + 3 * 4))
    assert atoms.groups.count(FIRST) == 4 * 2 * 8


def test_a_sample_has_its_size_and_depends_on_the_seed_only():
    first, again, other = sample_of(20), sample_of(20), sample_of(20, seed=1)
    assert len(first.atomic_numbers) == 20
    np.testing.assert_array_equal(first.descriptors, again.descriptors)
    assert not np.array_equal(first.descriptors, other.descriptors)


def test_every_atom_is_drawn_with_equal_probability():
    found = [sample_of(10, seed).groups.count(SECOND) for seed in range(60)]
    expected = 10 * 42 / 58
    assert abs(np.mean(found) - expected) < 4 * np.sqrt(10 * 42 / 58 * 16 / 58 / 60)


def test_distances_are_to_atoms_of_the_same_element():
    everything = sample_of(1000)
    assert everything.distances_to(everything).max() < 1e-4
    one = next(each for each in map(one_atom, range(20)) if each.atomic_numbers.tolist() == [6])
    distances = everything.distances_to(one)
    assert np.isinf(distances[everything.atomic_numbers == 1]).all()
    assert np.isfinite(distances[everything.atomic_numbers == 6]).all()
