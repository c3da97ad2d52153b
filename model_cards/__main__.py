"""`python -m model_cards`."""

import sys

from model_cards.cli import main

if __name__ == "__main__":
    sys.exit(main())
