"""How many threads TensorFlow computes with, where processes share a machine."""

import os
import subprocess
import sys

import pytest
from apache_beam.options.value_provider import RuntimeValueProvider

from beam_batch_predict.runners import worker_cores
from beam_batch_predict.runners.worker_cores import processes_beside, share_cores

INTRA, INTER = "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"
LOCAL = {"direct_running_mode": "multi_processing", "direct_num_workers": "4"}


@pytest.mark.parametrize(
    ("options", "processes"),
    [
        ({}, 1),
        ({"runner": None, "direct_running_mode": "in_memory", "direct_num_workers": "4"}, 1),
        ({"direct_running_mode": "multi_threading", "direct_num_workers": 4}, 1),
        (LOCAL, 4),
        (LOCAL | {"direct_num_workers": 4.0}, 4),
        (LOCAL | {"direct_num_workers": "0"}, 16),
        ({"runner": "DataflowRunner"}, 16),
        ({"runner": "apache_beam.runners.DataflowRunner", "experiments": ["a"]}, 16),
        ({"runner": "DataflowRunner", "experiments": ["no_use_multiple_sdk_containers"]}, 1),
        ({"runner": "Dataflow"}, 16),
        ({"runner": "FlinkRunner"}, 1),
        ({"runner": "FlinkRunner", "sdk_worker_parallelism": "1"}, 1),
        ({"runner": "SparkRunner", "sdk_worker_parallelism": 3}, 3),
        ({"runner": "PortableRunner", "sdk_worker_parallelism": "0"}, 16),
        ({"runner": "PortableRunner", "sdk_worker_parallelism": "x"}, 1),
        ({"runner": "PrismRunner", "sdk_worker_parallelism": "0"}, 1),
    ],
)
def test_processes_on_a_machine_with_16_cores(options, processes):
    assert processes_beside(options, 16) == processes


@pytest.fixture
def shares(monkeypatch):
    """A function from a worker's options to the threads that TensorFlow is told."""

    def told(options, cores=16, **environment):
        monkeypatch.setattr(RuntimeValueProvider, "runtime_options", options)
        monkeypatch.setattr(worker_cores, "usable_cores", lambda: cores)
        for name in (INTRA, INTER):
            # Set first, so that the test takes away in the end what is set here.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        share_cores()
        return os.environ.get(INTRA), os.environ.get(INTER)

    return told


@pytest.mark.parametrize(
    ("options", "cores", "each"),
    [
        (None, 16, None),
        ({}, 16, None),
        (LOCAL, 16, "4"),
        (LOCAL, 6, "1"),
        (LOCAL, 2, "1"),
        ({"runner": "DataflowRunner"}, 16, "1"),
        ({"runner": "DataflowRunner"}, 1, None),
    ],
)
def test_each_process_has_its_share_of_the_cores(options, cores, each, shares):
    assert shares(options, cores) == (each, each)


def test_what_the_environment_says_stays(shares):
    assert shares(LOCAL, 16, TF_NUM_INTRAOP_THREADS="7") == ("7", "4")


def test_tensorflow_uses_the_configured_threads(tiny_model):
    code = (
        "import os; from beam_batch_predict.runners import worker_cores; "
        "from apache_beam.options.value_provider import RuntimeValueProvider; "
        f"RuntimeValueProvider.set_runtime_options({LOCAL!r}); "
        "worker_cores.usable_cores = lambda: 32; "
        "import beam_batch_predict as bbp; "
        f"bbp.SavedModelHandler(bbp.SavedModel({tiny_model!r})).load_model(); "
        "from tensorflow.python.eager import context; "
        "print(context.context().config.intra_op_parallelism_threads, "
        "len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k not in (INTRA, INTER)},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[1]) >= 16  # of each kind of thread a quarter of 32 cores
