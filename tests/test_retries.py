"""What may pass, and how it is tried again."""

import errno
import os

import pytest
from google.api_core import exceptions
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict import retries
from beam_batch_predict.errors import (
    BatchPredictError,
    DestinationError,
    InvalidArgument,
    LostRowsError,
    ModelError,
    SourceError,
)
from beam_batch_predict.files.errors import StorageUnavailable
from beam_batch_predict.status import Code


def with_code(error, code):
    error.code = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(getattr(errno, name), "x") for name in ("ECONNRESET", "ECONNABORTED", "EPIPE")),
        *(OSError(getattr(errno, name), "x") for name in ("EHOSTUNREACH", "ENETUNREACH")),
        *(OSError(getattr(errno, name), "x") for name in ("ETIMEDOUT", "EAGAIN", "EINTR")),
        OSError(errno.ESTALE, "stale file handle", "/mnt/in.jsonl"),
        ConnectionResetError(),
        TimeoutError("timed out"),
        StorageUnavailable("gs://b/x: no answer"),
        with_code(SourceError("a stream"), Code.UNAVAILABLE),
        with_code(DestinationError("a table"), Code.ABORTED),
        with_code(DestinationError("a table"), Code.RESOURCE_EXHAUSTED),
        exceptions.ServiceUnavailable("x"),
        exceptions.InternalServerError("x"),
        exceptions.TooManyRequests("x"),
        exceptions.BadGateway("x"),
        exceptions.Aborted("x"),
        exceptions.Cancelled("x"),
        exceptions.Unknown("x"),
        exceptions.DeadlineExceeded("x"),
    ],
    ids=repr,
)
def test_an_error_of_the_network_or_of_a_busy_service_may_pass(error):
    assert retries.is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(getattr(errno, name), "x") for name in ("ENOSPC", "EDQUOT", "EACCES", "EROFS")),
        *(OSError(getattr(errno, name), "x") for name in ("ENOENT", "EIO", "EMFILE", "EISDIR")),
        OSError("without a number"),
        EOFError("truncated"),
        ValueError("x"),
        KeyboardInterrupt(),
        BatchPredictError("a mistake of ours has the code INTERNAL"),
        InvalidArgument("x"),
        LostRowsError("x"),
        ModelError("x"),
        SourceError("x"),
        with_code(SourceError("expired"), Code.DEADLINE_EXCEEDED),
        exceptions.NotFound("x"),
        exceptions.Forbidden("x"),
        exceptions.MethodNotImplemented("x"),
        exceptions.DataLoss("x"),
        exceptions.PreconditionFailed("x"),
    ],
    ids=repr,
)
def test_a_full_disk_a_refusal_or_a_mistake_does_not_pass(error):
    assert not retries.is_transient(error)


def test_a_number_of_an_error_stays_what_it_is():
    with pytest.raises(FileNotFoundError) as raised:
        os.stat("/missing")
    assert not retries.is_transient(raised.value)


class Service:
    """Fails with given errors, then answers."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.fixture
def slept(monkeypatch):
    seconds = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def ask(service, attempts=4):
    return retries.retried(
        service, retries.is_transient, attempts=attempts, first_wait=1.0, longest_wait=3.0
    )


def test_what_passes_is_tried_again_after_longer_and_longer_waits(slept):
    service = Service(*[ConnectionResetError()] * 3)
    assert ask(service) == "answer"
    assert service.calls == 4
    assert all(most / 2 <= found <= most for found, most in zip(slept, [1, 2, 3], strict=True))


def test_the_last_failure_is_raised(slept):
    service = Service(*[TimeoutError(str(at)) for at in range(9)])
    with pytest.raises(TimeoutError, match="3"):
        ask(service)
    assert (service.calls, len(slept)) == (4, 3)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=repr)
def test_what_does_not_pass_is_raised_at_once(slept, error):
    service = Service(ConnectionResetError(), error)
    with pytest.raises(type(error)):
        ask(service)
    assert (service.calls, len(slept)) == (2, 1)


def test_one_attempt_is_one_call(slept):
    service = Service(ConnectionResetError())
    with pytest.raises(ConnectionResetError):
        ask(service, attempts=1)
    assert (service.calls, slept) == (1, [])


@given(first=st.floats(0.001, 100), longest=st.floats(0.001, 100), count=st.integers(1, 60))
def test_a_wait_is_never_longer_than_the_longest(first, longest, count):
    most = min(first, longest)
    for _, seconds in zip(range(count), retries.waits(first, longest), strict=False):
        assert most / 2 <= seconds <= most
        most = min(most * 2, longest)
