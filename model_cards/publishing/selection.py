"""Which of the pushed numbers to retract."""

from dataclasses import dataclass

from dataset_builders.chemistry.levels import Level
from dataset_builders.folder.configs import level_of_config, task_of_config
from harness.results.result import RunResult


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the pushed numbers to retract.

    Attributes:
        dataset: Current id of the data set of the numbers; `None` for all.
        tasks: Tasks of the numbers; empty for all.
        level: Level of theory of their labels; `None` for all.
        results: Evaluations that the numbers come from; empty for all.
    """

    dataset: str | None = None
    tasks: tuple[str, ...] = ()
    level: Level | None = None
    results: tuple[RunResult, ...] = ()

    def names(self, dataset_id: str, config: str) -> bool:
        """Whether numbers of a configuration are selected, regardless of their author."""
        measured = {(each.dataset.id, each.dataset.config(task)) for each in self.results for task in each.tasks}
        return (
            self.dataset in (None, dataset_id)
            and (not self.tasks or task_of_config(config) in self.tasks)
            and (self.level is None or level_of_config(config) == self.level)
            and (not measured or (dataset_id, config) in measured)
        )
