"""Machines of a Dataflow job: type, number, and copies of the model on each.

Sources: `WorkerPool` and `Environment` of the Dataflow API, v1b3; the pages of Dataflow's
documentation on GPUs, right fitting and Dataflow Prime.
"""

from __future__ import annotations

import re

from beam_batch_predict.messages import quoted
from beam_batch_predict.runners.dataflow.option_builder import OptionBuilder
from beam_batch_predict.spec.options import ModelCopies

__all__ = ["GPU_THREADS", "machines", "models", "workers"]

MAX_WORKERS = 2**31 - 1
"""Limit of the API's field; quotas of projects are far lower."""

GPU_THREADS = 2
"""Concurrent calls of a model on a worker with GPUs: one computes, one is prepared."""

_GPU = re.compile(r"nvidia-[a-z0-9-]+")

_IMAGES = {"sdk_container_image", "worker_harness_container_image"}

_ONE_PROCESS = "no_use_multiple_sdk_containers"
_MANY_PROCESSES = "use_multiple_sdk_containers"


def machines(builder: OptionBuilder) -> None:
    """Choose the machines, and their accelerators."""
    machine = builder.resources.machine_type
    if _is_prime(builder) and machine and "machine_type" not in builder.values:
        builder.notes.append(f"{machine.field}: not used; Dataflow Prime chooses machines")
    else:
        builder.use("machine_type", machine)
    _accelerators(builder)
    for field in builder.resources.unused:
        builder.notes.append(f"{field}: not used on Dataflow")


def _is_prime(builder: OptionBuilder) -> bool:
    names = (*builder.entries("dataflow_service_options"), *builder.entries("experiments"))
    return "enable_prime" in names


def _accelerators(builder: OptionBuilder) -> None:
    flagged = _flagged_accelerators(builder)
    if _is_prime(builder) and flagged and not flagged.startswith("--resource_hints"):
        message = (
            "Dataflow Prime, which --dataflow_service_options=enable_prime selects, refuses "
            "worker_accelerator; use --resource_hints=accelerator=… instead, or leave out one"
        )
        builder.refuse(flagged, message)
    wanted = _wanted_accelerators(builder)
    if wanted is None:
        return
    text, field = wanted
    if flagged:
        if text not in flagged:
            builder.notes.append(f"{flagged} overrides {field} ({text})")
    elif _is_prime(builder):
        # A hint for all steps: a hint for one step would split the pipeline's only stage.
        builder.add("resource_hints", f"accelerator={text}", field)
    else:
        builder.add("dataflow_service_options", f"worker_accelerator={text}", field)


def _flagged_accelerators(builder: OptionBuilder) -> str:
    """Return the flag that sets the accelerators of workers; empty if none does."""
    starts = {
        "dataflow_service_options": "worker_accelerator=",
        "experiments": "worker_accelerator=",
        "resource_hints": "accelerator=",
    }
    found = (
        f"--{name}={entry}"
        for name, start in starts.items()
        for entry in builder.entries(name)
        if entry.startswith(start)
    )
    return next(found, "")


def _wanted_accelerators(builder: OptionBuilder) -> tuple[str, str] | None:
    """Return the accelerators of the job as Dataflow writes them, and their field."""
    kind, count = builder.resources.accelerator_type, builder.resources.accelerator_count
    if kind is None:
        if count is not None and count.value and not _flagged_accelerators(builder):
            builder.refuse(count.field, f"found {count.value}, and no type of accelerator")
        return None
    name = kind.value.lower().replace("_", "-")
    if not _GPU.fullmatch(name):
        if not _flagged_accelerators(builder):
            message = (
                f"workers on Dataflow run models on CPUs and GPUs of NVIDIA, found "
                f"{quoted(kind.value)}; name a GPU such as NVIDIA_TESLA_T4, or leave it out"
            )
            builder.refuse(kind.field, message)
        return None
    number = 1 if count is None else count.value
    if count is not None and not 1 <= number <= MAX_WORKERS:
        builder.refuse(count.field, f"expected a whole number from 1, found {number}")
    return f"type:{name};count:{number};install-nvidia-driver", kind.field


def workers(builder: OptionBuilder) -> None:
    """Choose the number of machines, and whether Dataflow may change it."""
    resources, values = builder.resources, builder.values
    fixed = values.get("autoscaling_algorithm") == "NONE"
    builder.use("num_workers", resources.workers_at_start)
    builder.use("max_num_workers", resources.workers_at_most)
    start = values.get("num_workers")
    default = resources.default_workers_at_most
    if default and "max_num_workers" not in values and not fixed:
        builder.put("max_num_workers", max(default.value, start or 1), default.field)
    most = values.get("max_num_workers")
    for name, count in (("num_workers", start), ("max_num_workers", most)):
        if count is not None and not 1 <= count <= MAX_WORKERS:
            message = f"expected a whole number from 1 to {MAX_WORKERS}, found {count}"
            builder.refuse(builder.named(name), message)
    if start is not None and most is not None and start > most:
        message = f"more workers at the start than {builder.shown('max_num_workers')} at most"
        builder.refuse(builder.shown("num_workers"), f"{message}; change one of them")
    if fixed:
        _fixed(builder, start, most)
    elif "autoscaling_algorithm" not in values:
        _autoscaling(builder, start, most)


def _fixed(builder: OptionBuilder, start: int | None, most: int | None) -> None:
    """Check that flags and job have one number of workers, which cannot change."""
    if most is None or start == most:
        return
    if start is None:
        message = f"needs --num_workers beside {builder.shown('max_num_workers')}"
    else:
        message = (
            f"the number of workers does not change, but {builder.shown('num_workers')} is not "
            f"{builder.shown('max_num_workers')}; leave it out, or make them equal"
        )
    builder.refuse("--autoscaling_algorithm=NONE", message)


def _autoscaling(builder: OptionBuilder, start: int | None, most: int | None) -> None:
    origins = [builder.origins.get(name) for name in ("num_workers", "max_num_workers")]
    origin = " and ".join(filter(None, origins))
    if origin and most is not None:
        builder.put(
            "autoscaling_algorithm", "NONE" if start == most else "THROUGHPUT_BASED", origin
        )


def models(builder: OptionBuilder) -> None:
    """Choose the copies of the model on a machine, and its concurrent calls."""
    has_gpus = bool(_flagged_accelerators(builder) or builder.resources.accelerator_type)
    experiments = builder.entries("experiments")
    chosen = f"--model_copies={builder.copies.value}"
    if has_gpus and not builder.values.keys() & _IMAGES:
        builder.notes.append(
            "GPUs: workers need an image with CUDA and TensorFlow, which "
            "--sdk_container_image names"
        )
    if builder.copies is ModelCopies.PROCESS:
        if _ONE_PROCESS in experiments:
            message = f"one process per machine contradicts {chosen}; leave out one"
            builder.refuse(f"--experiments={_ONE_PROCESS}", message)
        elif has_gpus:
            builder.notes.append(
                f"{chosen}: each process of a worker uses memory of the GPU for its own copy"
            )
        return
    if _MANY_PROCESSES in experiments and builder.copies is ModelCopies.MACHINE:
        message = f"several processes per machine contradict {chosen}; leave out one"
        builder.refuse(f"--experiments={_MANY_PROCESSES}", message)
    if _MANY_PROCESSES in experiments or not (has_gpus or builder.copies is ModelCopies.MACHINE):
        return
    origin = chosen if builder.copies is ModelCopies.MACHINE else f"{chosen}, on GPUs"
    if _ONE_PROCESS not in experiments:
        builder.add("experiments", _ONE_PROCESS, origin)
    if has_gpus and "number_of_worker_harness_threads" not in builder.values:
        builder.put("number_of_worker_harness_threads", GPU_THREADS, f"{chosen}, on GPUs")
