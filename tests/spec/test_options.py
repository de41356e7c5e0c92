"""The options that bear on results: in the table of the command line and in `RunOptions` alike."""

import dataclasses

from beam_batch_predict.cli.options import OPTIONS
from beam_batch_predict.spec.options import OF_THE_RUN, RunOptions


def test_the_command_line_has_the_same_options_with_the_same_defaults():
    given = {option.name: option.default for option in OPTIONS if option.name not in OF_THE_RUN}
    assert given == dataclasses.asdict(RunOptions())


def test_options_of_the_run_are_options():
    assert {option.name for option in OPTIONS} >= OF_THE_RUN
