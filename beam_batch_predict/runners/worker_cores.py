"""TensorFlow's threads, where several processes share a machine.

By itself each process takes all cores: on a machine of 32 cores with a process for each, 1024
threads for 32 cores. Where a process is alone, TensorFlow's own choice stays, and what the
environment says always does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from apache_beam.options.value_provider import RuntimeValueProvider

from beam_batch_predict.runners.names import WITH_JOB_SERVERS, runner_name

__all__ = ["processes_beside", "share_cores"]

_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Read by TensorFlow when it first computes."""

_ONE_PROCESS = "no_use_multiple_sdk_containers"


def share_cores() -> None:
    """Have TensorFlow compute with this process' share of the cores.

    To be called before TensorFlow first computes. A worker process has the options of its
    pipeline, and there alone anything is set.
    """
    cores = _cores()
    processes = processes_beside(RuntimeValueProvider.runtime_options or {}, cores)
    if processes > 1:
        for name in _VARIABLES:
            os.environ.setdefault(name, str(max(1, cores // processes)))


def processes_beside(options: Mapping[str, Any], cores: int) -> int:
    """How many worker processes share a machine, as far as options of a pipeline say so.

    Args:
        options: as workers get them, by the attributes of Beam's options.
        cores: of the machine.

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
        # A process for each core, unless an experiment says otherwise.
        return 1 if _ONE_PROCESS in (options.get("experiments") or ()) else cores
    if runner in WITH_JOB_SERVERS:
        found = options.get("sdk_worker_parallelism")
        return cores if str(found) == "0" else _number(found)
    if options.get("direct_running_mode") == "multi_processing":
        return _number(options.get("direct_num_workers")) or cores
    return 1


def _number(value: Any) -> int:
    """Beam hands numbers on as texts and floats too."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return 1


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
