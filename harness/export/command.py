"""`python -m dataset_builders export`: exports the frames of a task for other training code."""

from collections.abc import Sequence
from pathlib import Path

from dataset_builders.chemistry.levels import find_level
from harness.core.training_record import RECORD_NAME
from harness.export.dataset_reading import DEFAULT_SPLITS, open_source
from harness.export.export_folder import RECIPES_NAME, Export, require_free, write_export
from harness.export.formats import FORMATS, keys_of, require_packages
from harness.export.options import parser
from harness.export.reference_energies import ENERGIES_NAME
from harness.export.trainer_recipes import test_split_warning


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data or the environment is invalid.
    """
    options = parser().parse_args(argv)
    form = FORMATS[options.format]
    keys = keys_of(form, options.energy_key, options.forces_key)
    require_packages(form)
    source = open_source(options.dataset, options.task, options.split or DEFAULT_SPLITS, find_level(options.labels))
    require_free(options.out, source, form)
    print(_report(options.out, write_export(source, form, keys, options.out)))
    return 0


def _report(out: Path, export: Export) -> str:
    record = export.record
    lines = [
        f"{out}: {record.config} of {record.dataset.id}, {record.level_of_theory}",
        *(
            f"  {split}: {size.n_frames:,} frames of {size.n_molecules} molecules"
            for split, size in record.splits.items()
        ),
        f"  {RECIPES_NAME}: training commands; {ENERGIES_NAME}: reference energies of the elements; {RECORD_NAME}: "
        "training record to keep beside the model",
    ]
    if export.energies.caution is not None:
        lines.append(f"caution: {export.energies.caution}")
    if record.test_splits:
        lines.append(f"caution: {test_split_warning(record)}")
    return "\n".join(lines)
