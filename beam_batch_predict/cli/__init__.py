"""The command line: arguments, flags, exit codes, and what is printed."""

from beam_batch_predict.cli.app import main

__all__ = ["main"]
