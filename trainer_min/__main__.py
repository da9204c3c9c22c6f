"""`python -m trainer_min`."""

import sys

from trainer_min.cli import main

if __name__ == "__main__":
    sys.exit(main())
