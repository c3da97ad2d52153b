"""Current ids of data sets on the Hub; what was written before a data set was renamed uses an earlier id."""

from dataclasses import dataclass, field
from typing import Final

from dataset_builders.core.errors import DataError, MlipOodError, UsageError
from dataset_builders.core.hub.access import canonical
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.core.hub.repo import Repo

MAX_LOOKUPS: Final = 20
"""Limit on look-ups of other ids for one revision of a model, since anyone may write any number of them."""


def as_written(dataset_id: str) -> str:
    """Returns the id of a data set unchanged, without a request to the Hub."""
    return dataset_id


@dataclass(slots=True)
class DatasetNames:
    """Current ids by written id, each looked up once.

    Attributes:
        answers: The known ones.
        left: Number of look-ups that remain.
        faults: Failed look-ups, one line each.
    """

    answers: dict[str, str] = field(default_factory=dict)
    left: int = MAX_LOOKUPS
    faults: list[str] = field(default_factory=list)

    def today(self, dataset_id: str) -> str:
        """The current id of a data set on the Hub; the given id if the Hub does not know it or cannot be reached."""
        if dataset_id in self.answers or not is_repo_id(dataset_id):
            return self.answers.get(dataset_id, dataset_id)
        if self.left <= 0:
            said = "names many data sets; whether the others are earlier ids of this one was not checked on the Hub"
            self.faults += [] if said in self.faults else [said]
            return dataset_id
        self.left -= 1
        found = dataset_id
        try:
            found = canonical(Repo(dataset_id, "dataset")).id
        except (DataError, UsageError):
            pass  # An id that does not exist belongs to another data set.
        except MlipOodError as cause:
            self.faults.append(f"cannot check whether {dataset_id} is an earlier id of this data set: {cause}")
        self.answers |= {dataset_id: found, found: found}
        return found

    def renewed(self, left: int = MAX_LOOKUPS) -> "DatasetNames":
        """The same answers with a fresh limit for another author, so that no author uses up the look-ups of others."""
        return DatasetNames(self.answers, left)
