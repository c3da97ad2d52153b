"""Labels at another level of theory, certified and on the card of their data set."""

from dataset_builders.card.certified_card import certify_and_describe
from dataset_builders.certify.audit import CertifyReport
from dataset_builders.engines.choice import OpenPool
from dataset_builders.relabel.frames_to_label import RelabelSettings
from dataset_builders.relabel.relabelled_edition import relabel, write_configs


def relabel_edition(settings: RelabelSettings, open_pool: OpenPool) -> CertifyReport:
    """Labels frames at another level of theory, then certifies and describes the folder anew.

    Interrupt it whenever you like: the same call goes on from the finished labels.

    Args:
        settings: What to label.
        open_pool: The workers.

    Returns:
        The report of the certificate. It does not pass for a slice of an edition, which gets no card.

    Raises:
        UsageError: If more frames are asked for than there are, or none of a split that is needed.
        DataError: If the source is absent or corrupt.
        IncompleteError: If a frame failed; the message names it and the cause.
        SetupError: If the workers cannot be reached, or cannot do the work.
        CertificateError: If the rows do not pass the certificate; the folder stays, with its old card.
    """
    relabel(settings, open_pool)
    return certify_and_describe(settings.out)


def merge_labels(settings: RelabelSettings) -> CertifyReport:
    """Writes configurations from the labels that shards have computed; computes none.

    Raises:
        IncompleteError: If labels are missing; the message says how many.
        MlipOodError: As `relabel_edition` does.
    """
    write_configs(settings)
    return certify_and_describe(settings.out)
