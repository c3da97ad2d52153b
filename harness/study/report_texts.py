"""The explanatory texts in a report of the study."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FigureText:
    """The text of a figure.

    Attributes:
        shows: What it shows, for those who cannot see it and as the beginning of its caption; without a full stop.
        reading: How to read it.
    """

    shows: str
    reading: str


_BARS: Final = "Bars are 95 % intervals; numbers are gaps, OOD / ID, with theirs."

GAP_TEXT: Final = FigureText(
    "ID and OOD force error of the models on each task, the most accurate at the top, beside GFN1-xTB",
    f"{_BARS} The grey part of the step from ID to OOD is what the composition of the OOD molecules explains "
    "(composition-matched gap). GFN1-xTB has no training set: its gap shows how much harder the molecules are in "
    "themselves.",
)

REFERENCES_TEXT: Final = FigureText(
    "ID and OOD force error of controls, simple baselines and models of another level of theory, beside GFN1-xTB",
    f"{_BARS} Grey is what composition explains.",
)

ABLATIONS_TEXT: Final = FigureText(
    "ID and OOD force error of variants of PaiNN, in each panel with one property changed",
    "Bars are 95 % intervals of the errors; numbers are gaps, whose intervals are in the tables. Variants with one "
    "seed stand beside the mean of the seeds of the default.",
)

SPACER_TEXT: Final = FigureText(
    "ID and OOD force error of each model against spacer length",
    "Spacer lengths of training are shaded. Intervals of the errors are in the records.",
)

DISTANCE_TEXT: Final = FigureText(
    "ID and OOD force error of atoms against their distance to training, for each model",
    "The last row is a method without a training set, which shows how hard these atoms are in themselves.",
)

ANATOMY_TEXT: Final = FigureText(
    "The factors of each gap as stacked bars, a panel for each task", "Diamonds are the gaps, with 95 % intervals."
)

HOW_TO_READ: Final = """\
ID are new frames of the training molecules, OOD are unseen combinations of their parts. A cell is the mean over seeds,
± the standard deviation between seeds, and in brackets the 95 % interval of that mean: for other fragments and
molecules drawn like these, at the same spacers (clustered by fragment, ID and OOD drawn together). *Fragments* is the
number of fragments drawn. The gap is the mean over seeds of the ratio of each seed. The *composition-matched gap*
assumes that each OOD atom has the mean ID error of its environment within one bond. *Excess* is the OOD error divided
by the composition-matched one: above 1, the OOD molecules are harder for the model than their atoms explain, because of
their conformers, of parts that training never shows, or of the combination (docs/anatomy.md). Read a gap together with
its ID error: a model that learned little has a gap near 1. The score is the percentage of the decades between zero
forces and 1 meV/Å that the OOD error covers. All rows are evaluated on the same molecules, so two rows may differ
significantly although their intervals overlap: see *Ranking*."""

SUBSETS: Final = """\
OOD molecules in which an environment reaches both fragments (`near`: training does not cover every environment of
three bonds around a heavy atom) and the others (`far`)."""

RANKING: Final = """\
The models by OOD force MAE, the smallest first; controls without training are not ranked. Each row is compared with the
row above it on the same molecules, paired within fragments. If the whole interval is above 1, the row is worse, also
for other fragments drawn like these."""

SEEDS: Final = """\
Rank of each model for each seed, 1 for the smallest number; a model without seeds has the same number for all. A row
that lacks a seed is left out. Tau is Kendall's tau of the two seeds that agree least: 1 if all give the same order."""

FEW: Final = """\
With fewer than six fragments, an interval is wide and assumes a normal distribution. The single values are the gaps of
each fragment over its own molecules."""

CARRIED_OVER: Final = """\
These records precede intervals clustered by fragment. The intervals of errors, gaps and rankings are computed from
their values per molecule; excess and rank correlations keep their values and have no interval."""

SPACERS: Final = "Force MAE in meV/Å, mean over seeds, by the number of CH2 groups of the spacer."

DISTANCES: Final = """\
The distance of an atom to training is the distance between its atomic environment vector (AEV of ANI-2x, 1,008 numbers)
and the nearest one of an atom of the same element in `train`; its error is the mean over its three force components.
The tables give Spearman correlations of distance and error, with 95 % intervals for other fragments (ends averaged over
seeds). *Within elements* ranks the atoms of each element separately and weights the elements by their numbers of atoms,
since elements differ both in distance and in error. Rows that were not trained on the task show the correlation without
training on these molecules. The figure shows distances in units of the typical distance, the median over ID atoms of
the same element. Each of its ten bins contains a tenth of the test atoms of the task; a point is the mean error of the
atoms of one split in a bin."""

ENERGIES: Final = """\
Mean absolute error of the energy of a molecule, in eV, mean over seeds: without alignment (`none`); after adding one
constant, the mean difference over training frames (`mean`); after adding one energy per element, fitted by least
squares to training frames (`elements`); and relative to the mean over the frames of each molecule, which does not
depend on reference energies (`relative`). The excess of `mean` over `elements` is bookkeeping of reference energies; a
column gives its share. The last two columns give the error per atom after the alignment `elements`, in meV, as commonly
reported."""
