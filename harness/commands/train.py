"""`python -m harness train`: trains models, and writes the cards of their checkpoints."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code; a network with an environment of its own is trained there.

    Raises:
        MlipOodError: If the request, the data or the environment is invalid.
    """
    from harness.train.command import main as train

    _continue_in_environment(sys.argv[1:] if argv is None else argv)
    from model_cards.cards.model_card import write_card

    return train(argv, write_card)


def _continue_in_environment(argv: Sequence[str]) -> None:
    from harness.train.options import parser
    from harness.train.own_environment import needed_environment
    from harness.worker.replaced_process import continue_in_environment

    options = parser().parse_args(argv)
    environment = needed_environment(options)
    if environment is not None:
        continue_in_environment(environment, f"training {options.arch or options.init}", ["train", *argv])
