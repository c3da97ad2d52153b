"""Workers that hang, die, lie or flood, and what becomes of the predictions."""

import contextlib
import logging
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from dataset_builders.core.errors import ModelError
from tests.faults.tally import Tally

if TYPE_CHECKING:
    from harness.data.dataset import PinnedDataset
    from harness.inference.batching import Plan
    from harness.inference.shards import Predictions
    from harness.worker.client import WorkerSpec

End = Literal["same", "counted", "refused"]

_HERE: Final = Path(__file__).parent
_IDENTITY: Final = {"model": "springs"}
_BATCH_ATOMS: Final = 1024
_BATCH_SECONDS: Final = 20.0
"""Longest wait for a batch; also for the first after a start, which imports PyTorch on a busy machine."""
_HANG_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Case:
    """A deed of a worker, and what must come of it.

    Attributes:
        deed: Its name in `hostile_worker`.
        times: Batches on which it strikes.
        end: Whether the predictions are those of an honest worker, or those of one batch count as failures, or the
            model is refused; then an honest worker goes on from what was finished.
        says: Pattern of the message or of the cause of the failures.
    """

    deed: str
    times: int
    end: End
    says: str = ""


CASES: Final = (
    Case("hang", 1, "same"),
    Case("hang", 2, "counted", "it did not answer within"),
    Case("die", 1, "same"),
    Case("die", 2, "counted", "exit code 9"),
    Case("die_inside_an_answer", 1, "same"),
    Case("stop_inside_an_answer", 1, "same"),
    Case("flood", 1, "same"),
    Case("nan", 1, "counted", "not finite"),
    Case("infinite_forces", 1, "counted", "not finite"),
    Case("garbage", 1, "refused", "bytes that are not a message"),
    Case("print_to_the_channel", 1, "refused", "a message of more than .* bytes"),
    Case("another_batch", 1, "refused", "an answer to request 1000000; open requests"),
    Case("one_force_too_many", 1, "refused", r"forces of hostile has shape .*; expected"),
    Case("one_energy_for_all", 1, "refused", r"energy of hostile has shape \(1,\)"),
    Case("flat_forces", 1, "refused", "forces of hostile has shape"),
    Case("text", 1, "refused", "something other than an array of numbers|has dtype"),
    Case("failures_elsewhere", 1, "refused", "reports the failure of structure"),
    Case("never_loads", 0, "refused", "could not be loaded in its worker: .*did not answer within"),
    Case("dies_while_it_loads", 0, "refused", "could not be loaded in its worker: .*exit code 3"),
)


def worker_faults(cases: tuple[Case, ...] = CASES) -> Iterator[Tally]:
    """Predicts frames of mini with a worker for each case; gives its counts."""
    folder = Path(tempfile.mkdtemp(prefix="mlip-ood-faults-"))
    logging.getLogger("harness.worker.client").setLevel(logging.ERROR)
    try:
        dataset, plan = _frames()
        expected = _honest(dataset, plan, folder / "honest")
        for case in cases:
            yield _try(case, dataset, plan, expected, Path(tempfile.mkdtemp(dir=folder)))
    finally:
        logging.getLogger("harness.worker.client").setLevel(logging.NOTSET)
        shutil.rmtree(folder, ignore_errors=True)


def _frames() -> "tuple[PinnedDataset, Plan]":
    from harness.data.dataset import open_dataset
    from harness.data.scan import scan_dataset
    from harness.inference.batching import make_plan

    dataset = open_dataset("mini")
    return dataset, make_plan(scan_dataset(dataset, ("task4",)), _BATCH_ATOMS)


def _try(case: Case, dataset: "PinnedDataset", plan: "Plan", expected: Mapping[str, bytes], folder: Path) -> Tally:
    title = case.deed.replace("_", " ") + (" twice" if case.times == 2 else "")
    tally = Tally(title, {"struck": 0, "same": 0, "counted": 0, "refused": 0, "same end": 0}, struck=("struck",))
    start = time.monotonic()
    deed = folder / "deed"
    deed.write_text(f"{case.deed} {case.times}")
    said = ""
    try:
        found = _predict(dataset, plan, deed, folder, case)
    except ModelError as cause:
        end, said = "refused", str(cause)
    else:
        end = "counted" if found.failures else "same"
        said = next(iter(found.failures.values()), "")
        if case.end == "counted":
            tally.lost(_miscounted(found, plan))
    tally.add(end)
    left = deed.read_text().split()[1]
    tally.add("struck", case.times - int(left) if case.times else int(end == "refused"))
    if end != case.end or not re.search(case.says, said):
        tally.lost([f"it ended as {end}; expected {case.end} with {case.says!r}: {said[:500]}"])
    if end != "counted":
        deed.write_text("none 0")
        _predict(dataset, plan, deed, folder, case)
        is_same = _shards(folder / "predictions") == expected
        tally.add("same end", is_same)
        tally.lost([] if is_same else ["an honest worker ends with other predictions"])
    tally.seconds = time.monotonic() - start
    return tally


def _predict(dataset: "PinnedDataset", plan: "Plan", deed: Path, folder: Path, case: Case) -> "Predictions":
    import numpy as np

    from harness.inference.predict import compute_shards
    from harness.inference.shards import PredictionReader
    from harness.inference.windows import read_windows
    from harness.worker.client import WorkerPotential

    with contextlib.closing(WorkerPotential(_spec(deed, case))) as potential:
        compute_shards(potential, plan, read_windows(dataset, plan), folder / "predictions", _IDENTITY)
    return PredictionReader(plan, folder / "predictions", _IDENTITY).at(np.arange(plan.n_frames))


def _spec(deed: Path, case: Case) -> "WorkerSpec":
    from harness.core.potential import LoadOptions
    from harness.worker.client import WorkerSpec

    is_short = case.deed in ("hang", "stop_inside_an_answer")
    return WorkerSpec(
        "hostile_worker", deed, LoadOptions(), module_folders=(_HERE,),
        load_seconds=_HANG_SECONDS if deed.read_text().startswith("never_loads") else 10 * _BATCH_SECONDS,
        batch_seconds=_HANG_SECONDS if is_short else _BATCH_SECONDS, message_seconds=_HANG_SECONDS,
    )  # fmt: skip


def _honest(dataset: "PinnedDataset", plan: "Plan", folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    deed = folder / "deed"
    deed.write_text("none 0")
    _predict(dataset, plan, deed, folder, Case("none", 0, "same"))
    return _shards(folder / "predictions")


def _shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.parquet"))}


def _miscounted(found: "Predictions", plan: "Plan") -> Iterator[str]:
    """What is wrong with the failures of one batch among good ones."""
    import numpy as np

    first = plan.shards[0].bounds
    batch = range(first[0], first[1])
    if sorted(found.failures) != list(batch):
        yield f"{len(found.failures)} failures of {plan.n_frames} frames; expected the {len(batch)} of the first batch"
    finite: np.ndarray[tuple[int], np.dtype[np.bool_]] = np.isfinite(found.energy)
    if finite[list(batch)].any() or not np.delete(finite, list(batch)).all():
        yield "a failed frame has an energy, or another has none"
