"""What the Hub calls data sets today; what was written before a data set was renamed names it by an earlier id."""

from dataclasses import dataclass, field
from typing import Final

from dataset_builders.core.errors import DataError, MlipOodError, UsageError
from dataset_builders.core.hub.access import canonical
from dataset_builders.core.hub.names import is_repo_id
from dataset_builders.core.hub.repo import Repo

MAX_LOOKUPS: Final = 20
"""Foreign ids that are looked up for one revision of a model; anybody may write any number."""


def as_written(dataset_id: str) -> str:
    """The id of a data set as it stands there, where the Hub is not asked."""
    return dataset_id


@dataclass(slots=True)
class DatasetNames:
    """Ids of today by id, each looked up once.

    Attributes:
        answers: Those that are known.
        left: How many more are looked up.
        faults: What went wrong, in one line each.
    """

    answers: dict[str, str] = field(default_factory=dict)
    left: int = MAX_LOOKUPS
    faults: list[str] = field(default_factory=list)

    def today(self, dataset_id: str) -> str:
        """The id that the Hub gives a data set today; the same id where it knows none such, or cannot be asked."""
        if dataset_id in self.answers or not is_repo_id(dataset_id):
            return self.answers.get(dataset_id, dataset_id)
        if self.left <= 0:
            said = "names many data sets; the Hub was not asked whether the others are earlier ids of this one"
            self.faults += [] if said in self.faults else [said]
            return dataset_id
        self.left -= 1
        found = dataset_id
        try:
            found = canonical(Repo(dataset_id, "dataset")).id
        except (DataError, UsageError):
            pass  # an id that does not exist is somebody else's
        except MlipOodError as cause:
            self.faults.append(f"whether {dataset_id} is an earlier id of this data set is not known: {cause}")
        self.answers |= {dataset_id: found, found: found}
        return found

    def renewed(self, left: int = MAX_LOOKUPS) -> "DatasetNames":
        """The same answers, for what somebody else wrote: their look-ups use up nobody else's."""
        return DatasetNames(self.answers, left)
