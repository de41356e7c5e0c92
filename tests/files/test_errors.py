"""Failures of storage's clients: which are errors of files, and which may pass."""

import errno
import pickle
from http.client import IncompleteRead

import pytest
import requests
from apache_beam.io.filesystem import BeamIOError
from google.api_core.exceptions import Forbidden, NotFound, RetryError, ServiceUnavailable
from google.auth.exceptions import RefreshError, TransportError
from google.cloud.storage.exceptions import InvalidResponse
from urllib3.exceptions import ProtocolError

from beam_batch_predict.files import errors as file_errors
from beam_batch_predict.files.errors import StorageUnavailable, as_os_error, retry_call
from beam_batch_predict.status import Code, Status

URI = "gs://bucket/in.jsonl"


def refused(code, message):
    """What an upload or a download raises."""
    response = requests.Response()
    response.status_code = code
    response.request = requests.Request("PUT", "https://storage/upload").prepare()
    response._content = b'{"error": {"message": "%s"}}' % message.encode()
    return InvalidResponse(response, "Request failed with status code", code, "Expected", 200)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Forbidden("no objects.get"), PermissionError, r"HTTP 403.*no objects\.get"),
        (NotFound("gone"), FileNotFoundError, "no such object or bucket"),
        (RefreshError("revoked"), PermissionError, "credentials do not work: revoked"),
        (FileNotFoundError(2, "no such file", URI), FileNotFoundError, "no such file"),
        (ServiceUnavailable("later"), StorageUnavailable, "HTTP 503: later"),
        (RetryError("timeout of 120 s", None), StorageUnavailable, "timeout of 120 s"),
        (RetryError("timeout", ServiceUnavailable("no")), StorageUnavailable, "HTTP 503: no"),
        (ProtocolError("broken"), StorageUnavailable, "broken"),
        (IncompleteRead(b"half"), StorageUnavailable, "IncompleteRead"),
        (refused(403, "no objects.create"), PermissionError, r"HTTP 403.*no objects\.create"),
        (refused(429, "slow down"), StorageUnavailable, "HTTP 429.*slow down"),
        (requests.ConnectionError("reset"), StorageUnavailable, "reset"),
        (TransportError("no route"), StorageUnavailable, "no route"),
        (BeamIOError("list", {URI: Forbidden("no")}), PermissionError, "HTTP 403"),
        (BeamIOError("rename", {("gs://b/a", URI): 403}), PermissionError, "gs://b/a to gs"),
        (BeamIOError("rename", {URI: 503}), StorageUnavailable, "HTTP 503"),
        (BeamIOError("list", {URI: 401}), PermissionError, "does not accept the credentials"),
        (BeamIOError("list", {URI: 418}), OSError, "HTTP 418"),
        (BeamIOError("match", {URI: ValueError("odd")}), OSError, "odd"),
        (BeamIOError("delete", {URI: 403, "gs://b/a": 404}), OSError, "gs://b/a: 404"),
        (BeamIOError(f"no details of {URI}"), OSError, "no details"),
    ],
)
def test_an_error_says_what_and_where(error, kind, words):
    with pytest.raises((OSError, StorageUnavailable), match=words) as raised, as_os_error(URI):
        raise error
    assert isinstance(raised.value, kind)
    assert URI in str(raised.value)


def test_a_mistake_of_the_program_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), as_os_error(URI):
        raise ZeroDivisionError


def test_an_outage_is_no_damaged_file_and_travels_between_processes():
    error = pickle.loads(pickle.dumps(StorageUnavailable(f"{URI}: no answer")))
    assert not isinstance(error, OSError)
    assert error.status == Status(Code.UNAVAILABLE, f"{URI}: no answer")


@pytest.mark.parametrize(
    "error",
    [ServiceUnavailable("no"), OSError(errno.ESTALE, "stale"), ConnectionResetError("gone")],
    ids=repr,
)
def test_transient_errors_are_retried_and_lasting_ones_give_advice(error, monkeypatch):
    monkeypatch.setattr(file_errors, "FIRST_WAIT", 0.001)
    failures = [error] * 3

    def ask():
        if failures:
            raise failures.pop()
        return "answer"

    assert retry_call(URI, ask) == "answer"
    failures += [error] * 9
    with pytest.raises(StorageUnavailable, match=f"^{URI}: .*tried 4 times; run the job again"):
        retry_call(URI, ask)
    assert len(failures) == 5


def test_a_refusal_is_not_retried():
    failures = [Forbidden("no"), "unused"]
    with pytest.raises(PermissionError, match=URI):
        retry_call(URI, lambda: (_ for _ in ()).throw(failures.pop(0)))
    assert failures == ["unused"]


def test_an_error_of_ours_stays_what_it_is():
    with pytest.raises(StorageUnavailable, match="^one$"), as_os_error(URI):
        raise StorageUnavailable("one")
