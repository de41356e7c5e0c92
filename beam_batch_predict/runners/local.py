"""The local engine, whose worker processes stop on signals.

Beam starts its own worker processes through a shell, which does not pass signals on. If one
ends early, Beam reports "Channel closed prematurely.", or nothing while another one is busy. Here
the end of a worker process is an error of the run.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import (
    beam_fn_api_pb2,
    beam_fn_api_pb2_grpc,
    beam_provision_api_pb2,
    endpoints_pb2,
)
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.fn_api_runner.worker_handlers import (
    GrpcWorkerHandler,
    WorkerHandler,
)
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.worker.log_handler import LOGENTRY_TO_LOG_LEVEL_MAP
from google.protobuf import json_format, text_format  # type: ignore[import-untyped]

from beam_batch_predict import cancellation
from beam_batch_predict.errors import BatchPredictError, Violation
from beam_batch_predict.messages import redacted
from beam_batch_predict.runners.claimed_bundles import ClaimedBundles
from beam_batch_predict.runners.derived_options import DerivedOption, DerivedOptions
from beam_batch_predict.runners.engine import Engine, Given
from beam_batch_predict.runners.worker_count import AUTO, workers_worth
from beam_batch_predict.runners.worker_processes import keep_waiting, start_work
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources
from beam_batch_predict.status import Code

__all__ = ["LocalEngine", "LocalRunner"]

_URN = "beam_batch_predict:env:worker_processes:v1"

_SECONDS_TO_END = 5.0

_logger = logging.getLogger(__name__)


class LocalEngine(Engine):
    """This machine: workers are child processes, or threads of this process."""

    is_local = runs_here = True

    def __init__(self, options: PipelineOptions, automatic: bool = False) -> None:
        super().__init__(options)
        self._automatic = automatic
        mode = options.view_as(DirectOptions).direct_running_mode
        self.workers_in_process = mode != "multi_processing"

    def derive(self, resources: Resources, given: Given, copies: ModelCopies) -> DerivedOptions:
        """Derive whether several workers are processes, which is the default, or threads.

        In Beam's own default mode they are threads that share one core.
        """
        mode, chosen = given.get("direct_running_mode"), f"--model_copies={copies.value}"
        if mode == "multi_processing" and copies is ModelCopies.MACHINE:
            message = f"several processes contradict {chosen}; leave out one of them"
            wrong = Violation(f"--direct_running_mode={mode}", message)
            return DerivedOptions(violations=(wrong,))
        workers = given.get("direct_num_workers", 1)
        if workers != AUTO and workers < 0:
            wrong = Violation("--direct_num_workers", f"expected a number from 0, found {workers}")
            return DerivedOptions(violations=(wrong,))
        if mode or workers == 1:
            return DerivedOptions()
        origin = f"--direct_num_workers={workers}"
        option = DerivedOption("direct_running_mode", "multi_processing", origin)
        if copies is ModelCopies.MACHINE:
            option = option._replace(value="multi_threading", source=chosen)
        return DerivedOptions((option,))

    def limit_workers(self, chunks: int, size: int) -> None:
        """Start no more workers than there are chunks; a further one would be idle."""
        options = self.options.view_as(DirectOptions)
        wanted = options.direct_num_workers or multiprocessing.cpu_count()  # as Beam reads 0
        if self._automatic:
            wanted = workers_worth(size)
        options.direct_num_workers = min(wanted, max(chunks, 1))
        if self._automatic and options.direct_num_workers == 1:
            options.direct_running_mode = "in_memory"
            self.workers_in_process = True
        keep_waiting(0 if self.workers_in_process else options.direct_num_workers)

    def make_runner(self) -> LocalRunner:
        """Make the runner, whose worker processes get the pipeline options too.

        Beam's own runner does not pass them on, but file systems in workers read their options.
        """
        encoded = JobServiceHandle.encode_pipeline_options(self.options.get_all_options())
        info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
        return LocalRunner(provision_info=fn_runner.ExtendedProvisionInfo(info))


class LocalRunner(fn_runner.FnApiRunner):
    """Beam's FnApiRunner with the worker processes of this module."""

    def run_via_runner_api(self, pipeline_proto: Any, options: Any) -> Any:
        """Run the pipeline.

        Raises:
            BatchPredictError: a worker process ended before the pipeline did.
        """
        workers = _Workers()
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.urn, environment.payload = _URN, workers.name.encode()
        with workers:
            return super().run_via_runner_api(pipeline_proto, options)

    def _get_bundle_manager(self, bundle_context_manager: Any) -> Any:
        manager = super()._get_bundle_manager(bundle_context_manager)
        if isinstance(manager, fn_runner.ParallelBundleManager):
            return ClaimedBundles(
                bundle_context_manager, cache_token_generator=self.get_cache_token_generator(False)
            )
        return manager


class _WorkerLost(BatchPredictError):
    """A worker process that ended before its work was done."""

    code = Code.ABORTED


class _Workers:
    """The worker processes of one pipeline."""

    of_name: dict[str, _Workers] = {}

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.workers: list[_WorkerProcess] = []
        self.error: _WorkerLost | None = None
        self._over = contextlib.ExitStack()

    def __enter__(self) -> None:
        self.of_name[self.name] = self
        self._over.callback(self.of_name.pop, self.name)
        self._over.enter_context(cancellation.stopping(self.stop))

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._over.close()
        if error is not None and self.error is not None:
            raise self.error from error

    def stop(self) -> None:
        """Signal all workers to stop at the next batch."""
        for worker in self.workers:
            worker.process.send_signal(cancellation.received_signal() or signal.SIGTERM)

    def fail_all(self, code: int) -> None:
        """Fail all open requests of Beam, because one worker has ended."""
        if self.error is None:
            self.error = _WorkerLost(f"a worker process ended: {_how(code)}", _hint(code))
            self.stop()
        for worker in self.workers:
            worker.fail(str(self.error))


def _how(code: int) -> str:
    """Describe how a process ended, from its return code.

    Example:
        >>> _how(1), _how(-11)
        ('exit code 1', 'killed by SIGSEGV')
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-code}"


def _hint(code: int) -> str:
    if -code != signal.SIGKILL:
        return ""
    return "the system kills processes when memory runs out; use fewer --direct_num_workers"


@WorkerHandler.register_environment(_URN, bytes)
class _WorkerProcess(GrpcWorkerHandler):
    """A worker process, with the connections of the runner to it."""

    process: subprocess.Popen[bytes]

    def __init__(self, workers: bytes, state: Any, provision_info: Any, grpc_server: Any) -> None:
        super().__init__(state, provision_info, grpc_server)
        self._workers = _Workers.of_name[workers.decode()]
        self._logs = grpc.server(ThreadPoolExecutor(1, "worker-logs"))
        self._closing = threading.Event()
        self._watch = threading.Thread(target=self._watch_process, name="worker", daemon=True)

    def start_worker(self) -> None:
        """Start the process."""
        cancellation.check()
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(_Logs(), self._logs)
        port = self._logs.add_insecure_port("localhost:0")
        self._logs.start()
        addresses = {
            "CONTROL": self.control_api_service_descriptor(),
            "LOGGING": endpoints_pb2.ApiServiceDescriptor(url=f"localhost:{port}"),
        }
        options = self.provision_info.provision_info.pipeline_options
        self.process = start_work(
            {
                **{
                    f"{name}_API_SERVICE_DESCRIPTOR": text_format.MessageToString(address)
                    for name, address in addresses.items()
                },
                "PIPELINE_OPTIONS": json_format.MessageToJson(options),
                "WORKER_ID": self.worker_id,
            }
        )
        self._workers.workers.append(self)
        self._watch.start()

    def _watch_process(self) -> None:
        code = self.process.wait()
        while not self._closing.is_set():
            self._workers.fail_all(code)
            # Beam may start to wait for this worker later, without a notice.
            self._closing.wait(0.1)

    def fail(self, message: str) -> None:
        """Answer all open requests of Beam with an error."""
        for name, future in list(self.control_conn._futures_by_id.items()):
            if not future.is_done():
                future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=name, error=message))

    def close(self) -> None:
        """Close the connections, which ends the process; kill it if it stays busy."""
        code = self.process.poll()
        if code is not None:  # Beam may see a connection break before the process has ended here
            self._workers.fail_all(code)
        self._closing.set()
        if self._workers.error is not None or cancellation.received_signal():
            until = time.monotonic() + _SECONDS_TO_END
            while self._is_busy() and time.monotonic() < until:
                time.sleep(0.02)
            if self._is_busy():
                self.process.kill()
        try:
            self.control_conn.close()
            self.data_conn.close()
        except Exception:  # both raise if the other end is closed
            if self._workers.error is None and not cancellation.received_signal():
                raise
        finally:
            self.fail("the pipeline has ended")  # a thread may still wait for an answer
            self.stop_worker()

    def _is_busy(self) -> bool:
        return self.process.poll() is None and bool(self.control_conn._futures_by_id)

    def stop_worker(self) -> None:
        """Wait for the end of the process."""
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._watch.join()
        self._logs.stop(None)


class _Logs(beam_fn_api_pb2_grpc.BeamFnLoggingServicer):
    """Messages that workers log, written to the log of this process."""

    def Logging(self, request_iterator: Iterable[Any], context: Any = None) -> Iterator[Any]:  # noqa: N802
        """Log the messages of a worker."""
        for entries in request_iterator:
            for entry in entries.log_entries:
                level = LOGENTRY_TO_LOG_LEVEL_MAP[entry.severity]
                text = "\n".join(filter(None, (entry.message, entry.trace)))
                _logger.log(level, "%s", redacted(text))  # Beam's workers log their options
        return iter(())
