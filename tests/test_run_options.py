"""The options that bear on results: in the table of the command line and in `RunOptions` alike."""

import dataclasses

from beam_batch_predict.options import OPTIONS, RESUME
from beam_batch_predict.run_options import RunOptions


def test_the_command_line_has_the_same_options_with_the_same_defaults():
    given = {option.name: option.default for option in OPTIONS if option.name != RESUME}
    assert given == dataclasses.asdict(RunOptions())
