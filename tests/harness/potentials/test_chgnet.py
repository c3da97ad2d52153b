"""What is particular to CHGNet: molecules in boxes, weights inside the package, and molecules that make no graph."""

from typing import Any

import numpy as np
import pytest

pytest.importorskip("chgnet")

from dataset_builders.chemistry.mmff94 import atomic_numbers_of
from dataset_builders.chemistry.sampling import embed
from dataset_builders.core.errors import ModelError, UsageError
from harness.core.potential import LoadOptions, Potential
from harness.potentials import chgnet
from harness.potentials.chgnet import Weights, boxed, load
from tests.harness.potentials.molecules import molecules, packed, unpacked

CPU = LoadOptions(device="cpu")
CUTOFF = 6.0


@pytest.fixture(scope="module")
def potential() -> Potential:
    return load("chgnet", CPU)


def test_traits(potential: Potential) -> None:
    traits = potential.traits
    assert traits.saved_dtype == "float32"
    assert (traits.family, traits.dtype, traits.level_of_theory) == ("chgnet", "float32", "PBE/PBE+U (MPtrj)")
    # The file of chgnet 0.4.2.
    digest = "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"
    assert traits.files == {"chgnet_0.3.0_e29f68s314m37.pth.tar": digest}
    assert traits.elements is not None
    assert len(traits.elements) == 89
    assert {1, 6, 7, 8, 9, 16, 17, 94} < traits.elements
    assert traits.conservative


def test_other_weights_give_other_numbers(potential: Potential) -> None:
    other = load("chgnet-r2scan", CPU)
    assert other.traits.level_of_theory == "r2SCAN (MP-r2SCAN)"
    assert other.traits.files != potential.traits.files
    assert np.abs(other.compute(molecules()).forces - potential.compute(molecules()).forces).max() > 0.01


@pytest.mark.parametrize(("length", "edge"), [(0.0, 20.0), (8.0, 20.0), (8.5, 20.5), (15.0, 27.0)])
def test_a_box_leaves_twice_the_cutoff_between_images(length: float, edge: float) -> None:
    box = boxed(np.array([8, 1]), np.array([[3.0, 7.0, -1.0], [3.0, 7.0 + length, -1.0]]), CUTOFF)
    assert box.lattice.abc == pytest.approx((edge, edge, edge))
    assert edge - length >= 2.0 * CUTOFF


def test_no_atom_of_a_long_molecule_meets_an_image() -> None:
    smiles = "C" * 14
    positions = embed(smiles, 1)
    assert np.ptp(positions, axis=0).max() > 20.0 - 2.0 * CUTOFF
    box = boxed(atomic_numbers_of(smiles), positions, CUTOFF)
    centres, neighbours, images, distances = box.get_neighbor_list(CUTOFF)
    apart = np.linalg.norm(positions[:, None] - positions, axis=2)
    assert len(distances) == np.count_nonzero(apart < CUTOFF) - len(positions)
    np.testing.assert_allclose(distances, apart[centres, neighbours], rtol=0, atol=1e-8)
    assert not images.any()


def test_a_larger_box_changes_nothing(potential: Potential, monkeypatch: pytest.MonkeyPatch) -> None:
    before = potential.compute(molecules())
    monkeypatch.setattr(chgnet, "MIN_BOX", 31.0)
    after = potential.compute(molecules())
    assert after.energy == pytest.approx(before.energy, rel=0, abs=1e-4)
    np.testing.assert_allclose(after.forces, before.forces, rtol=0, atol=1e-4)


def test_a_molecule_without_a_graph_fails_and_the_others_do_not(potential: Potential) -> None:
    torn = (np.array([8, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 9.0]]), "[OH]")
    first, *others = unpacked(molecules())
    predicted = potential.compute(packed([first, torn, *others]))
    assert list(predicted.failures) == [1]
    assert "isolated atom" in predicted.failures[1]
    assert np.isnan(predicted.energy[1])
    assert np.isnan(predicted.forces[len(first[0]) : len(first[0]) + 2]).all()
    np.testing.assert_allclose(np.delete(predicted.energy, 1), potential.compute(molecules()).energy, rtol=0, atol=1e-5)


def test_a_batch_of_failures_alone(potential: Potential) -> None:
    predicted = potential.compute(packed([(np.array([8]), np.zeros((1, 3)), "O")]))
    assert list(predicted.failures) == [0]
    assert np.isnan(predicted.energy).all()


def test_an_element_of_no_crystal_is_refused(potential: Potential) -> None:
    polonium = packed([(np.array([84, 1]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.7]]), "[PoH]")])
    with pytest.raises(ModelError, match=r"chgnet has no parameters for Po, which \[PoH\] contain"):
        potential.compute(polonium)


def test_loading_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    load("chgnet", CPU).compute(molecules())
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("error")
def test_computing_warns_of_nothing(potential: Potential) -> None:
    potential.compute(molecules())


def test_weights_that_the_package_lacks_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chgnet, "METHODS", {"chgnet": Weights("9.9.9", "PBE")})
    with pytest.raises(ModelError, match=r"9\.9\.9 contains 0 files \*\.pth\.tar; expected one"):
        load("chgnet", CPU)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dtype": "float64"}, "in float32 only, not in 'float64'"),
        ({"head": "1"}, "no readout heads, so it takes no --head; leave out --head 1"),
    ],
)
def test_what_it_does_not_offer_is_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        load("chgnet", LoadOptions(device="cpu", **options))
