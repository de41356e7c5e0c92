"""The cycle collector while a command starts, and after a model is loaded."""

import subprocess
import sys

import pytest

COUNT = """
import gc, sys
first = gc.get_threshold()
{before}
{work}
print("seen:", gc.isenabled(), gc.get_threshold()[0], first[0], gc.get_freeze_count() > 0)
"""
STARTED = "from beam_batch_predict import collector; collector.start_up()"
LOADED = "collector.end_start_up()"


def seen(work, before=""):
    """What the collector of a process is like after some work."""
    code = COUNT.format(before=before, work=work)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    enabled, young, usual, frozen = done.stdout.rpartition("seen: ")[2].split()
    return enabled == "True", int(young), int(usual), frozen == "True"


def test_collections_are_rare_during_the_start_but_do_not_stop():
    enabled, young, usual, frozen = seen(STARTED)
    assert enabled
    assert young >= 1000 * usual
    assert not frozen


def test_a_loaded_model_is_frozen_and_the_start_is_over():
    enabled, young, usual, frozen = seen(f"{STARTED}; {LOADED}")
    assert enabled
    assert usual < young < 1_000_000
    assert frozen


@pytest.mark.parametrize(
    ("before", "enabled", "young"),
    [("gc.disable()", False, None), ("gc.set_threshold(0)", True, 0)],
    ids=["disabled", "no threshold"],
)
def test_a_collector_that_the_user_has_turned_off_stays_off(before, enabled, young):
    for work in (STARTED, f"{STARTED}; {LOADED}"):
        found = seen(work, before)
        assert found[0] is enabled
        assert young is None or found[1] == young


def test_the_library_leaves_the_collector_as_it_is_until_a_model_is_loaded():
    enabled, young, usual, _ = seen("import beam_batch_predict.transforms.batch_predict")
    assert (enabled, young) == (True, usual)
    with_more = "from beam_batch_predict import collector; collector.end_start_up()"
    assert seen(with_more, "gc.set_threshold(50_000)")[1] == 50_000


@pytest.mark.parametrize("module", ["__main__", "runners.worker_main"])
def test_commands_and_workers_begin_with_it(module):
    call = "" if module == "__main__" else "try: worker_main.main()\nexcept KeyError: pass\n"
    code = f"from beam_batch_predict.{module} import *\nfrom beam_batch_predict.runners import "
    code += f"worker_main\n{call}"
    assert seen(code)[1] == 1_000_000
