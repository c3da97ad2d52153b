from pathlib import Path

import torch

from harness.train.state import CurvePoint, SavedRun, read_state, write_state


def test_tied_weights_are_kept(tmp_path: Path) -> None:
    tied = torch.arange(6.0).view(2, 3)
    run = SavedRun({"seed": 0}, (CurvePoint(1, 2.0, 0.1, 3.0, 0.5, 0.25),), 9, {"a": tied, "b": tied, "c": tied.T})
    write_state(tmp_path, run)
    found = read_state(tmp_path, {"seed": 0})
    assert found is not None
    assert (found.curve, found.n_steps) == (run.curve, run.n_steps)
    assert all(torch.equal(found.tensors[name], run.tensors[name]) for name in "abc")
