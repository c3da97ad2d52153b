"""What the memoriser remembers, and how it chooses its neighbours."""

import numpy as np
import pytest

from harness.baselines.memory import LabelledFrames
from harness.train.fit_knn import evenly_spaced, fit_knn
from tests.harness.potentials.molecules import molecules


def test_evenly_spaced_frames_by_hand() -> None:
    n_atoms = np.full(10, 20)
    np.testing.assert_array_equal(evenly_spaced(n_atoms, 100), [0, 2, 4, 6, 8])
    np.testing.assert_array_equal(evenly_spaced(n_atoms, 60), [0, 3, 6])
    np.testing.assert_array_equal(evenly_spaced(n_atoms, 200), np.arange(10))
    np.testing.assert_array_equal(evenly_spaced(n_atoms, 1), [0])


def test_validation_chooses_the_number_of_neighbours() -> None:
    pytest.importorskip("torchani")
    random = np.random.default_rng(0)

    def labelled(seed: int) -> LabelledFrames:
        batch = molecules(seed=seed)
        return LabelledFrames(batch, np.zeros(3), random.normal(size=batch.positions.shape))

    # The forces are noise, so either may win; the one of the smaller error has to.
    fit = fit_knn(labelled(1), [labelled(2), labelled(3)], neighbours=(1, 5))
    assert list(fit.validation_force_mae) == [1.0, 5.0]
    assert fit.n_neighbours == min(fit.validation_force_mae, key=fit.validation_force_mae.__getitem__)
    assert fit.frames.batch.n_structures == 3
