"""Job servers: those that runners start here (Prism, Flink, Spark), and others.

Beam ends a job server with this process by a handler of SIGINT. Only the main thread may set one,
and the main thread of the command line only waits for signals.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions
from apache_beam.runners.portability.job_server import JobServer, StopOnExitJobServer
from apache_beam.runners.runner import PipelineRunner

from beam_batch_predict import cancellation
from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.status import Code

__all__ = ["start_in_any_thread", "lost_connection_named"]

SECONDS_TO_ANSWER = 5.0
"""Seconds after which a line reports that the launcher waits for the job service."""

_logger = logging.getLogger(__name__)


def start_in_any_thread(runner: PipelineRunner) -> PipelineRunner:
    """Return the runner, changed so that it may start a job server in any thread.

    If the job service does not answer, the error has its address.
    """
    make = getattr(runner, "default_job_server", None)
    if make is not None:
        runner.default_job_server = lambda options: _in_any_thread(make(options))
    connect = getattr(runner, "create_job_service", None)
    if connect is not None:
        runner.create_job_service = lambda options: _connect(connect, options)
    return runner


def _connect(connect: Callable[[PipelineOptions], Any], options: PipelineOptions) -> Any:
    """Connect to the job service, with the messages that Beam does not give."""
    endpoint = options.view_as(PortableOptions).job_endpoint
    seconds = options.view_as(PortableOptions).job_server_timeout
    if endpoint and endpoint != "embed" and not _answers(endpoint, min(seconds, SECONDS_TO_ANSWER)):
        _logger.warning(
            "no job service answers at %s: waiting up to %d s for it (--job_server_timeout)",
            endpoint,
            seconds,
        )
    try:
        return connect(options)
    except grpc.FutureTimeoutError as error:
        raise _Unreachable(
            f"no job service answers at {endpoint}",
            "check --job_endpoint, and that the service runs",
        ) from error


def _answers(endpoint: str, seconds: float) -> bool:
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=seconds)
        except grpc.FutureTimeoutError:
            return False
    return True


class _Unreachable(BatchPredictError):
    code = Code.UNAVAILABLE


@contextlib.contextmanager
def lost_connection_named() -> Iterator[None]:
    """Convert the error of a lost connection to the job service, in the block.

    Raises:
        BatchPredictError: the connection is lost.
    """
    try:
        yield
    except grpc.RpcError as error:
        why = ": ".join(filter(None, (_code_of(error), _details_of(error))))
        raise _Unreachable(
            f"lost the connection to the job service ({why})",
            "the job may still run; once it has ended, use --resume",
        ) from error


def _code_of(error: Any) -> str:
    return str(error.code().name) if hasattr(error, "code") else type(error).__name__


def _details_of(error: Any) -> str:
    return str(error.details() or "") if hasattr(error, "details") else ""


def _in_any_thread(server: JobServer) -> JobServer:
    return _Quiet(server) if isinstance(server, StopOnExitJobServer) else server


class _Quiet(JobServer):
    """A job server that ends with this process, and sets no signal handler.

    Runs may share the server behind it; it then starts once.
    """

    def __init__(self, server: StopOnExitJobServer) -> None:
        self._server = server

    def start(self) -> Any:
        """Start the server, unless it runs."""
        server = self._server
        with server._lock:
            if not server._started:
                server._endpoint = server._job_server.start()
                server._started = True
                atexit.register(server.stop)
                # A job that continues elsewhere may still read the staged files.
                cancellation.at_end(lambda: server._job_server._server.stop())
            return server._endpoint

    def stop(self) -> None:
        """Stop the server, for all runs that share it."""
        self._server.stop()
