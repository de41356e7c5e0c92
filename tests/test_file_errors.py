"""Failures of storage's clients: which are errors of files, and which may pass."""

import pickle

import pytest
import requests
from apache_beam.io.filesystem import BeamIOError
from google.api_core.exceptions import Forbidden, NotFound, RetryError, ServiceUnavailable
from google.auth.exceptions import RefreshError, TransportError

from beam_batch_predict.file_errors import StorageUnavailable, as_os_error
from beam_batch_predict.status import Code

URI = "gs://bucket/in.jsonl"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (Forbidden("no objects.get"), PermissionError, r"HTTP 403.*no objects\.get"),
        (NotFound("gone"), FileNotFoundError, "no such object or bucket"),
        (RefreshError("revoked"), PermissionError, "credentials do not work: revoked"),
        (FileNotFoundError(2, "no such file", URI), FileNotFoundError, "no such file"),
        (ServiceUnavailable("later"), StorageUnavailable, "HTTP 503: later"),
        (RetryError("timeout of 120 s", None), StorageUnavailable, "timeout of 120 s"),
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
    assert error.status == (Code.UNAVAILABLE, f"{URI}: no answer")
