"""`python -m beam_batch_predict`: the command line."""

import sys

from beam_batch_predict.cli import main

if __name__ == "__main__":
    sys.exit(main())
