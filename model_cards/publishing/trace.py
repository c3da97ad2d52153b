"""The trace of a result: all that its numbers were computed from, published in a repo of results on the Hub.

A trace is an entry as `python -m harness submit` writes it (docs/submitting.md), so anybody can compute every number
again from it. Beside the entries, the repo has one row for each number, which the viewer of the Hub shows as a table.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from dataset_builders.core.errors import UsageError
from dataset_builders.core.hub.access import canonical, ensure_repo
from dataset_builders.core.hub.commits import Change, CommitTarget, Committed, Message, commit
from dataset_builders.core.hub.explaining import explained
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.core.hub.repo import MAIN, Repo
from dataset_builders.core.hub.retrying import retried
from harness.core.training_record import RECORD_NAME
from harness.hub.download import Listing, fetch_files
from harness.results.result import RunResult
from harness.submission.entry_document import slug_of
from harness.submission.places import ENTRIES_FOLDER
from harness.submission.write import EntryOptions, write_entry
from model_cards.entries.entries import published_numbers
from model_cards.entries.scores import published_value
from model_cards.entries.source import Source
from model_cards.hub.ownership import User
from model_cards.text.front_matter import CARD_PATH

_NUMBERS: Final = "numbers"

_FLOATS: Final = frozenset({"value", "low", "high"})
_COLUMNS: Final = (
    "model", "protocol", "task", "labels", "edition", "number", "unit", "value", "low", "high", "date", "content_hash",
    "entry",
)  # fmt: skip
"""Columns of the table of numbers; values and ends of the intervals are in the unit of their row."""

_CARD: Final = """\
---
pretty_name: Results on mlip-ood
tags:
- mlip-ood
configs:
- config_name: numbers
  data_files: numbers/*.parquet
  default: true
- config_name: predictions
  data_files: entries/*/runs/*/predictions/*.parquet
---

# Results on mlip-ood

Evaluations of interatomic potentials on [{dataset}]({url}), a benchmark that measures them on unseen combinations of
known molecular parts.

- `numbers`: one row for each published number, with its interval.
- `predictions`: the energy (eV) and forces (eV/Å) that a model predicts for each frame.
- `entries/`: one folder for each evaluation, with `result.json`, the settings, and the predictions.

Every number can be computed again from the predictions, without the model:

```console
$ hf download {repo} --repo-type dataset --local-dir results
$ python -m harness verify results/entries
```
"""


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace that is ready to be sent.

    Attributes:
        repo: The repo of results.
        dataset: Data set that the result is on.
        name: Folder name of the entry.
        directory: Local folder of the entry.
        numbers: Its numbers, one row each, as Parquet: `datasets` reads all tables of a repo in one format.
        source: What the entries of the result name as their source.
    """

    repo: Repo
    dataset: Repo
    name: str
    directory: Path
    numbers: bytes
    source: Source

    @property
    def text(self) -> str:
        """Its files and size, for a dry run."""
        paths = [path for path in self.directory.rglob("*") if path.is_file()]
        n_bytes = sum(path.stat().st_size for path in paths)
        return f"{ENTRIES_FOLDER}/{self.name}, {len(paths)} files, {n_bytes / 1e6:.1f} MB"


@dataclass(frozen=True, slots=True)
class TraceRequest:
    """What a trace is made of.

    Attributes:
        run: Folder of the finished run or method.
        result: Its result.
        model: The pinned model: `org/name@commit[/path]`.
        listing: The files of the model's repo.
    """

    run: Path
    result: RunResult
    model: str
    listing: Listing


def require_results_repo(repo_id: str, user: User | None, datasets: Sequence[str]) -> Repo:
    """Checks where traces are to go, before anything is computed or sent.

    Args:
        repo_id: The id that the user gave.
        user: Who is logged in; `None` for a dry run without login.
        datasets: Ids of the data sets that the results are on.

    Raises:
        UsageError: If it is no id, not the user's to write to, or the benchmark itself.
    """
    if not is_repo_id(repo_id):
        raise UsageError(f"--results-repo {repo_id!r} is not a valid Hub id; expected org/name")
    if repo_id in datasets:
        raise UsageError(f"--results-repo {repo_id} is the data set that was evaluated on; choose a repo for results")
    repo = Repo(repo_id, "dataset")
    if user is not None and not user.owns(repo):
        raise UsageError(
            f"--results-repo {repo_id}: {user.name} may not write there; choose a data-set repo of {user.name} or of "
            "an organisation where you have write access"
        )
    return repo


@contextmanager
def prepared_trace(request: TraceRequest, repo: Repo, user: User | None) -> Iterator[Trace]:
    """Writes a trace into a temporary folder, where it stays until the block ends.

    The entry is checked as its readers will check it: every number is computed again from the predictions.

    Raises:
        UsageError: If the predictions are too large for an entry.
        DataError: If the folder is not that of a finished run, or a number does not follow from its predictions.
        IncompleteError: If structures failed.
    """
    dataset = request.result.dataset
    with TemporaryDirectory(prefix="mlip-ood-trace-") as folder:
        options = EntryOptions(
            name=slug_of(request.listing.repo.id.replace("/", "-")),
            checkpoint=request.model,
            records=_records(request.listing),
            datasets=(f"{dataset.id}@{dataset.revision}",),
        )
        written = write_entry([request.run], Path(folder), options)
        name = written.directory.name
        namespace = repo.id.partition("/")[0]
        is_person = user is not None and user.name == namespace
        source = Source(
            url=f"{repo.url}/tree/{MAIN}/{ENTRIES_FOLDER}/{name}",
            user=namespace if is_person else None,
            org=None if is_person else namespace,
        )
        yield Trace(
            repo, Repo(dataset.id, "dataset"), name, written.directory, _numbers_table(request.result, name), source
        )


def send_trace(trace: Trace) -> Committed:
    """Sends a trace in one commit; a second call changes nothing. The repo is created, publicly, if there is none.

    Raises:
        SetupError: If the Hub cannot be reached or refuses access.
        DataError: If the Hub finds a file invalid.
    """
    ensure_repo(trace.repo, private=False)
    repo = canonical(trace.repo)
    paths = sorted(path for path in trace.directory.rglob("*") if path.is_file())
    files: dict[str, bytes | Path] = {
        f"{ENTRIES_FOLDER}/{trace.name}/{path.relative_to(trace.directory).as_posix()}": path for path in paths
    }
    files[f"{_NUMBERS}/{trace.name}.parquet"] = trace.numbers

    def change_at(head: str) -> Change:
        text = _CARD.format(repo=repo.id, dataset=trace.dataset.id, url=trace.dataset.url)
        card = {} if _has_card(repo, head) else {CARD_PATH: text.encode()}
        return Change({**files, **card})

    message = Message("Add results of mlip-ood", f"Entry {trace.name}. Sent with `python -m harness push`.")
    return commit(CommitTarget(repo), change_at, message)


def _has_card(repo: Repo, head: str) -> bool:
    """Whether a repo has a card with content of its own; the Hub gives a new repo none."""
    from huggingface_hub import HfApi

    with explained(repo, head):
        return retried(lambda: HfApi().file_exists(repo.id, CARD_PATH, repo_type=repo.kind, revision=head))


def _records(listing: Listing) -> tuple[Path, ...]:
    """The files mlip-ood.json of a model repo, one of which the model may have been loaded with."""
    names = [name for name in listing.sha256 if name.endswith(RECORD_NAME)]
    directory = fetch_files(listing, names) if names else None
    return () if directory is None else tuple(directory / name for name in names)


def _numbers_table(result: RunResult, name: str) -> bytes:
    """One row for each number of a result, as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for task, number, estimate in published_numbers(result):
        if estimate.value is None:
            continue
        low, high = (None if end is None else published_value(end, number) for end in (estimate.low, estimate.high))
        rows.append(
            {
                "model": result.model.id,
                "protocol": task.protocol,
                "task": task.task,
                "labels": result.dataset.level_of_theory,
                "edition": result.dataset.edition,
                "number": number.name,
                "unit": number.unit,
                "value": published_value(estimate.value, number),
                "low": low,
                "high": high,
                "date": result.created.isoformat(),
                "content_hash": result.dataset.content_hash,
                "entry": name,
            }
        )
    columns = pa.schema([(key, pa.float64() if key in _FLOATS else pa.string()) for key in _COLUMNS])
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, columns), stream)
    return stream.getvalue()
