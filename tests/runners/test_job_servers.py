"""Job servers: started in any thread, ended with the process, named when they are gone."""

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.job_server import SubprocessJobServer

from beam_batch_predict import cancellation
from beam_batch_predict.errors import BatchPredictError
from beam_batch_predict.runners.job_options import make_engine
from beam_batch_predict.runners.job_servers import lost_connection_named
from beam_batch_predict.status import Code


@pytest.fixture
def nobody():
    """An address that nobody answers at."""
    with socket.socket() as bound:
        bound.bind(("localhost", 0))  # and does not listen
        yield f"localhost:{bound.getsockname()[1]}"


@pytest.fixture
def doings(monkeypatch):
    """What is done to job servers in place of starting and stopping processes."""
    done = []
    process = SimpleNamespace(stop=lambda: done.append("end"))

    def start(server):
        server._server = process
        done.append("start")
        return "stub"

    monkeypatch.setattr(SubprocessJobServer, "start", start)
    monkeypatch.setattr(SubprocessJobServer, "stop", lambda server: done.append("stop"))
    monkeypatch.setattr(cancellation, "_state", cancellation._State())
    return done


def server_of(name):
    engine = make_engine([f"--runner={name}"])
    return engine.make_runner().default_job_server(engine.options)


@pytest.mark.parametrize("name", ["PrismRunner", "FlinkRunner", "SparkRunner"])
def test_a_job_server_may_start_in_any_thread_and_starts_once(name, doings):
    before = signal.getsignal(signal.SIGINT)
    server = server_of(name)
    with ThreadPoolExecutor(1) as pool:
        assert [pool.submit(server.start).result() for _ in range(2)] == ["stub", "stub"]
    assert signal.getsignal(signal.SIGINT) is before
    server.stop()
    assert doings == ["start", "stop"]


def test_a_process_that_ends_in_a_hurry_ends_its_job_server(doings, monkeypatch):
    server = server_of("FlinkRunner")
    server.start()
    monkeypatch.setattr(cancellation.os, "_exit", doings.append)
    cancellation.end(0)
    assert doings == ["start"]
    cancellation._state.must_exit = True
    cancellation.end(143)
    assert doings == ["start", "end", 143]
    server.stop()


def test_a_job_service_that_does_not_answer_is_named(nobody, caplog):
    flags = [f"--job_endpoint={nobody}", "--job_server_timeout=1"]
    engine = make_engine(["--runner=PortableRunner", *flags])
    with pytest.raises(BatchPredictError, match=f"no job service answers at {nobody}") as caught:
        engine.make_runner().create_job_service(engine.options)
    assert caught.value.code == Code.UNAVAILABLE
    assert f"no job service answers at {nobody}: waiting up to 1 s" in caplog.text


def test_a_job_service_that_is_gone_is_named(nobody):
    with grpc.insecure_channel(nobody) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        asked = beam_job_api_pb2.GetJobStateRequest(job_id="a")
        with (
            pytest.raises(BatchPredictError, match="lost the connection .*UNAVAIL") as e,
            lost_connection_named(),
        ):
            service.GetState(asked, timeout=10)
    assert e.value.code == Code.UNAVAILABLE


def test_other_errors_are_what_they_were():
    with pytest.raises(RuntimeError, match="^why$"), lost_connection_named():
        raise RuntimeError("why")
