"""TensorFlow's threads if several worker processes share a machine.

By default each process uses all cores: 32 processes on 32 cores have 1024 threads. A process that
is alone keeps TensorFlow's default. Variables that are set in the environment are not changed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from apache_beam.options.value_provider import RuntimeValueProvider

from beam_batch_predict.runners.names import WITH_JOB_SERVERS, runner_name
from beam_batch_predict.runners.worker_count import usable_cores

__all__ = ["processes_beside", "share_cores"]

_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Variables that TensorFlow reads when it first computes."""

_ONE_PROCESS = "no_use_multiple_sdk_containers"


def share_cores() -> None:
    """Limit TensorFlow to this process' share of the cores.

    Call it before TensorFlow first computes. It has an effect only in a worker process, which has
    the options of its pipeline.
    """
    cores = usable_cores()
    processes = processes_beside(RuntimeValueProvider.runtime_options or {}, cores)
    if processes > 1:
        for name in _VARIABLES:
            os.environ.setdefault(name, str(max(1, cores // processes)))


def processes_beside(options: Mapping[str, Any], cores: int) -> int:
    """Return the number of worker processes on a machine, from pipeline options.

    Args:
        options: the pipeline options as workers get them, by attribute of Beam's options.
        cores: the cores of the machine.

    Example:
        >>> local = {"direct_running_mode": "multi_processing", "direct_num_workers": "3"}
        >>> processes_beside(local, 8)
        3
        >>> processes_beside({"runner": "DataflowRunner"}, 8)
        8
        >>> processes_beside({}, 8)
        1
    """
    runner = runner_name(options.get("runner"))
    if runner == "dataflowrunner":
        # Dataflow starts a process for each core, unless this experiment is set.
        return 1 if _ONE_PROCESS in (options.get("experiments") or ()) else cores
    if runner in WITH_JOB_SERVERS:
        found = options.get("sdk_worker_parallelism")
        return cores if str(found) == "0" else _number(found)
    if options.get("direct_running_mode") == "multi_processing":
        return _number(options.get("direct_num_workers")) or cores
    return 1


def _number(value: Any) -> int:
    """Read a number, which Beam also passes as a text or a float."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 1
