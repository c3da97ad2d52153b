"""`python -m dataset_builders`."""

import sys

from dataset_builders.cli import main

if __name__ == "__main__":  # the workers of a spawned pool import this module again
    sys.exit(main())
