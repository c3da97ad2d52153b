"""`python -m harness train`: trains a model, and writes the card of its checkpoint."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data or the environment does not allow it.
    """
    from harness.train.command import main as train
    from harness.train.options import folder_of, parser
    from model_cards.cards.model_card import write_card

    code = train(argv)
    write_card(folder_of(parser().parse_args(argv)))
    return code
