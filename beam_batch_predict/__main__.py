"""`python -m beam_batch_predict`, and the command `beam-batch-predict`."""

import sys

from beam_batch_predict import collector

collector.start_up()

from beam_batch_predict.cli import main  # noqa: E402 - imports are what the line above makes cheap

if __name__ == "__main__":
    sys.exit(main())
