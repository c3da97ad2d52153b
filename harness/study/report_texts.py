"""The explanatory texts in a report of the study."""

from typing import Final

HOW_TO_READ: Final = """\
ID are new frames of the training molecules, OOD are unseen combinations of their parts. A cell is the mean over seeds,
± the standard deviation between seeds, and in brackets the 95 % interval of that mean: for other fragments and
molecules drawn like these, at the same spacers (clustered by fragment, ID and OOD drawn together). *Fragments* is the
number that were drawn. The gap is the mean over seeds of each seed's ratio. The *composition-matched gap* follows if
each OOD atom has the mean ID error of its environment within one bond. *Excess* is the OOD error divided by the
composition-matched one: above 1, the OOD molecules are harder for the model than their atoms explain, be it for their
conformers, for parts that training never shows, or for the combination (docs/anatomy.md). Read a gap beside its ID
error: a model that learned little has one near 1. Score: share, in percent, of the decades between zero forces and 1
meV/Å that the OOD error covers. Two rows were measured on the same molecules, so they may differ significantly although
their intervals overlap: see *Ranking*."""

SUBSETS: Final = """\
OOD molecules in which the two fragments meet within an environment (`near`: training does not cover every environment
at three bonds from each heavy atom) and the others (`far`)."""

RANKING: Final = """\
The models by OOD force MAE, the smallest first; controls without training are not ranked. Each is compared with the row
above it on the same molecules, paired within fragments. If the whole interval is above 1, the row is worse beyond what
other fragments could change."""

SEEDS: Final = """\
Rank of each model with each seed, 1 for the smallest number; a model without a seed has the same number with all. A row
that lacks a seed is left out. Tau is Kendall's, of the two seeds that agree least: 1 if all give the same order."""

FEW: Final = """\
With fewer than six fragments an interval is wide and depends on their normality. These are the single values: the gap
of each fragment over its own molecules."""

CARRIED_OVER: Final = """\
These records were made before intervals were clustered by fragment. Their values per molecule give the intervals of
errors, gaps and rankings; excess and rank correlations keep their value and have no interval."""

SPACERS: Final = "Force MAE in meV/Å, mean over seeds, by the number of CH2 groups."

DISTANCES: Final = """\
The distance of an atom is that between its atomic environment vector (AEV of ANI-2x, 1,008 numbers) and the nearest one
of an atom of the same element in `train`; its error is the mean over its three force components. The tables give
Spearman correlations of the two, with 95 % intervals for other fragments (of several seeds the ends are averaged).
*Within elements* ranks the atoms of each element separately and averages by their numbers, since elements differ both
in distance and in error. Rows that were not trained here show the correlation without training on these molecules. The
figure has distances in units of the typical one: the median over ID atoms of the same element. Each of its ten bins has
a tenth of the test atoms of the task; a point is the mean error of those of one split."""

ENERGIES: Final = """\
Mean absolute error of the energy of a molecule, in eV, mean over seeds: unchanged (`none`); after adding one number,
the mean difference over training frames (`mean`); after adding one energy per element, fitted by least squares to
training frames (`elements`); and relative to the mean of the frames of each molecule, which no zero affects
(`relative`). The excess of `mean` over `elements` is bookkeeping of reference energies; one column gives its share. The
last two columns have the error per atom under `elements`, in meV, which other work reports."""
