"""The options of a run: in the table of the command line and in `RunOptions` alike."""

import argparse
import dataclasses

import pytest

from beam_batch_predict.cli.options import OPTIONS, add_options, run_options
from beam_batch_predict.spec.options import RunOptions


def test_the_command_line_has_every_option_in_the_same_order():
    assert [option.name for option in OPTIONS] == [f.name for f in dataclasses.fields(RunOptions)]


def test_options_that_are_not_given_have_the_defaults_of_run_options():
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert run_options(parser.parse_args([])) == RunOptions()


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_a_given_option_is_the_only_one_that_differs(option):
    parser = argparse.ArgumentParser()
    add_options(parser)
    given = run_options(parser.parse_args([f"--{option.name}={option.example}"]))
    value = option.parse(option.example)
    assert given == dataclasses.replace(RunOptions(), **{option.name: value})
