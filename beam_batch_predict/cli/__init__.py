"""The command line."""

from beam_batch_predict.cli.app import main

__all__ = ["main"]
