"""The command line: arguments, flags, exit codes, and printed text."""

from beam_batch_predict.cli.app import main

__all__ = ["main"]
