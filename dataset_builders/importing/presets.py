"""Presets of a map: what is known of published data sets, so that a map states only what is not.

GMD-26 (Nourollah, Khalid, Leoni and Schockaert, arXiv 2605.08988): the card of `AmirMasoud/GMD` on the Hub states the
level of theory, the program, the licence and the split of the secondary trajectories. It was read in November 2026; the
data files were not, so their names and keys are left to the map. docs/gmd-26.md lists what is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from dataset_builders.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Preset:
    """Keys of a map that are known for a data set.

    Attributes:
        name: Name of the preset.
        values: Values of keys that the map does not state.
        naming_hint: What to do if the names of the files differ from the patterns, for the end of a message.
    """

    name: str
    values: Mapping[str, Any]
    naming_hint: str

    def completed(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a map file, with the known values for all keys that it does not state."""
        stated = content.get("labels", {})
        if not isinstance(stated, dict):
            return {**self.values, **content}
        # A map that names another method of the labels does not mean the level of the preset.
        known = {key: value for key, value in self.values["labels"].items() if key != "level" or "method" not in stated}
        return {**self.values, **content, "labels": {**known, **stated}}


PRESETS: Final[Mapping[str, Preset]] = MappingProxyType(
    {
        "gmd-26": Preset(
            name="gmd-26",
            values={
                "source": "GMD-26 (arXiv 2605.08988), AmirMasoud/GMD on the Hugging Face Hub",
                "licence": "CC-BY-4.0",
                "primary": ["*primary*"],
                "secondary": ["*secondary*"],
                "ignored": ["trained_models/*", "*last_step.traj"],
                "first_frames": {"validation": 100, "test_id": 400},
                "labels": {
                    "level": "pbe-d3bj",
                    "computed": "as published; ORCA according to the card of the data set, settings not stated",
                },
            },
            naming_hint=(
                ". No public source states the names of the files of GMD-26: describe those that you have with the "
                "keys primary, secondary and ignored of the map; see docs/gmd-26.md"
            ),
        )
    }
)


def find_preset(name: object) -> Preset:
    """The preset of a name.

    Raises:
        UsageError: If there is none.
    """
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]
    raise UsageError(f"preset = {name!r:.60}; expected one of {' '.join(PRESETS)}")
