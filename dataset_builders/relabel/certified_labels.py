"""Computes labels at another level of theory, certifies them and updates the card of the data set."""

from dataset_builders.card.certified_card import certify_and_describe
from dataset_builders.certify.audit import CertifyReport
from dataset_builders.engines.choice import OpenPool
from dataset_builders.relabel.frames_to_label import RelabelSettings
from dataset_builders.relabel.relabelled_edition import relabel, write_configs


def relabel_edition(settings: RelabelSettings, open_pool: OpenPool) -> CertifyReport:
    """Labels frames at another level of theory, then renews the certificate and card of the folder.

    It may be interrupted at any time: a second call continues from the finished labels.

    Args:
        settings: Relabelling settings.
        open_pool: The workers.

    Returns:
        The report of the certificate. A part of an edition does not pass and gets no card.

    Raises:
        UsageError: If more frames are requested than exist, or none of a required split, or a configuration would lack
            frames of the one that it replaces.
        DataError: If the source is absent or corrupt.
        IncompleteError: If a frame failed; the message names it and the cause.
        SetupError: If the workers cannot be reached or are not suitable.
        CertificateError: If the rows do not pass the certificate; the folder stays, without a card.
    """
    relabel(settings, open_pool)
    return certify_and_describe(settings.out)


def merge_labels(settings: RelabelSettings) -> CertifyReport:
    """Writes configurations from the labels that shards have computed, without computing any.

    Raises:
        IncompleteError: If labels are missing; the message says how many.
        MlipOodError: As `relabel_edition` does.
    """
    write_configs(settings)
    return certify_and_describe(settings.out)
