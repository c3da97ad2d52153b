"""`python -m harness train`: trains models, and writes the cards of their checkpoints."""

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code.

    Raises:
        MlipOodError: If the request, the data or the environment is invalid.
    """
    from harness.train.command import main as train
    from model_cards.cards.model_card import write_card

    return train(argv, write_card)
