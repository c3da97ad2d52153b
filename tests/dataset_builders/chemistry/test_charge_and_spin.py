import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataset_builders.chemistry.charge_and_spin import state_problem

WATER = np.array([8, 1, 1])


def problem(said, **options):
    return state_problem(said.items(), WATER, **options)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"charge": 0, "spin_multiplicity": 1},
        {"Charge": 0.0, "MULT": 1, "2S": 0, "uhf": 0, "nopen": 0, "S2": 0.0, "<S**2>": 0.0},
        {"total_charge": 1e-7, "spin": 0},
        {"spin": 1, "multiplicity": 1},
        {"charge": "neutral", "spin_state": "singlet", "spin_polarized": False},
        {"charge": None, "charge_of_all": np.array(0)},
        {"initial_charges": np.array([-0.8, 0.4, 0.4001]), "initial_magmoms": np.zeros(3), "magmom": 0.0},
        {"charges": [-0.8, 0.4, 0.4], "nuclear_charges": WATER, "magmoms": np.zeros((3, 3))},
        {"born_effective_charges": np.ones((3, 3, 3))},
        {"energy": -1.0, "forces": np.ones((3, 3)), "numbers": WATER, "Q_factor_of_something": 3, 7: 8},
    ],
)
def test_a_neutral_closed_shell(said):
    assert problem(said) is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"charge": 1}, "charge 1; expected a neutral molecule, with 0"),
        ({"Charge": -1}, "Charge -1"),
        ({"CHARGE": 1.0}, "CHARGE 1"),
        ({"total_charge": 1}, "total_charge 1"),
        ({"TotalCharge": 2}, "TotalCharge 2"),
        ({"tot-charge": 2}, "tot-charge 2"),
        ({"molecular charge": 1}, "molecular charge 1"),
        ({"net_charge": np.int64(1)}, "net_charge 1"),
        ({"Q": 1}, "Q 1"),
        ({"qtot": np.array(1.0)}, "qtot 1"),
        ({"charge": float("nan")}, "charge nan"),
        ({"charge": 0.5}, "charge 0.5"),
        ({"charge": 0, "Charge": 1}, "Charge 1"),
        ({"charge": True}, "charge 'True', which may refer to charge or spin"),
        ({"charge": "cation"}, "add it to labels.ignored_keys in the map: ['charge']"),
        ({"charge": [0, 1]}, "charge '[0, 1]'"),
        ({"spin_multiplicity": 3}, "spin_multiplicity 3; expected a closed shell, with a multiplicity of 1"),
        ({"Multiplicity": 2}, "Multiplicity 2"),
        ({"mult": 3}, "mult 3"),
        ({"spin_mult": 3}, "spin_mult 3"),
        ({"multiplicity": 0}, "multiplicity 0"),
        ({"spin": 3}, "spin 3, which is not a closed shell"),
        ({"Spin": 2}, "Spin 2, which is not a closed shell"),
        ({"tot_spin": 0.5}, "tot_spin 0.5, which is not a closed shell"),
        ({"spin": 1}, "state which in the map, such as labels.spin = 'multiplicity'"),
        ({"spin": 1, "multiplicity": 3}, "spin 1"),
        ({"spin_state": "triplet"}, "spin_state 'triplet', which may refer"),
        ({"2S": 2}, "2S 2; expected a closed shell, with 0"),
        ({"n_unpaired": 1}, "n_unpaired 1"),
        ({"num_unpaired_electrons": 2}, "num_unpaired_electrons 2"),
        ({"uhf": 2}, "uhf 2"),
        ({"magmom": 2.0}, "magmom 2"),
        ({"initial_charges": np.array([0.0, 0.5, 0.5])}, "initial_charges of the atoms with sum 1"),
        ({"mulliken_charges": np.array([[0.0], [0.0], [-1.0]])}, "mulliken_charges of the atoms with sum -1"),
        ({"charges": np.array([np.nan, 0.0, 0.0])}, "charges of the atoms with sum nan"),
        ({"initial_magmoms": np.array([1.0, 0.0, 0.0])}, "up to 1 with sum 1"),
        ({"magmoms": np.array([0.0, 1.0, -1.0])}, "magmoms of the atoms up to 1 with sum 0"),
        ({"atomic_spins": np.array([0.0, 1.0, 1.0])}, "atomic_spins of the atoms up to 1"),
    ],
)
def test_anything_else_is_named(said, message):
    assert message in str(problem(said))


@pytest.mark.parametrize("value", [0, 1, 2, 3])
def test_what_spin_means_is_for_the_map_to_say(value):
    assert (problem({"spin": value}, spin="multiplicity") is None) == (value in (0, 1))
    for meaning in ("unpaired electrons", "S"):
        assert (problem({"spin": value}, spin=meaning) is None) == (value == 0)
    assert "expected a closed shell, with 0" in problem({"spin": 1}, spin="S")


def test_a_key_that_speaks_of_something_else():
    said = {"charge_scheme": "mbis", "spin_channels": 1, "charge": 1}
    assert problem(said, ignored=["charge_scheme", "spin_channels"]) == "charge 1; expected a neutral molecule, with 0"
    assert "charge_scheme" in problem(said)
    assert "spin_channels 1; expected a closed shell, with 0; if it does not, add it to labels.ignored_keys" in problem(
        said
    )


@given(st.dictionaries(st.text(max_size=12) | st.just("charge"), st.none() | st.integers() | st.floats() | st.text()))
def test_any_values_give_a_sentence_or_nothing(said):
    found = problem(said)
    assert found is None or found
