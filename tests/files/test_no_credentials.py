"""Cloud Storage without credentials, or without an answer: real clients and sockets."""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from beam_batch_predict.gcp.errors import LOGIN

MODEL = "gs://some-bucket/model"
FLAGS = [
    *("--display_name=x", "--instances_format=jsonl", "--predictions_format=jsonl"),
    *(f"--model_uri={MODEL}", "--output_uri_prefix=out", "--input_uris=gs://some-bucket/in.jsonl"),
]


class Storage(http.server.BaseHTTPRequestHandler):
    """Answers each request with the status and the body of its server."""

    def do_GET(self):  # noqa: N802 - the name that the base class calls
        self.server.requests.append((self.path, self.headers.get("Authorization")))
        status, body = self.server.reply(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def storage():
    """A function that starts a server with replies by path; returns it, with its `url`."""
    with contextlib.ExitStack() as stack:

        def start(reply):
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Storage)
            stack.callback(server.server_close)
            server.reply, server.requests = reply, []
            server.url = f"http://127.0.0.1:{server.server_port}"
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


def refusal(status):
    return status, json.dumps({"error": {"code": status, "message": "Anonymous caller"}}).encode()


@pytest.fixture
def command(tmp_path):
    """A function that runs the command without credentials: exit code, output, seconds."""

    def run(*arguments, **variables):
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GOOGLE_", "CLOUDSDK_", "STORAGE_"))
        }
        # Nothing answers there, as on a machine without Google's metadata server.
        nowhere = {"GCE_METADATA_IP": "127.0.0.1:9", "GCE_METADATA_HOST": "127.0.0.1:9"}
        environment |= {"HOME": str(tmp_path), **nowhere, **variables}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "beam_batch_predict", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            timeout=240,
        )
        return done.returncode, done.stdout + done.stderr, time.monotonic() - began

    return run


@pytest.mark.parametrize(
    ("status", "arguments"),
    [
        (401, ("run", *FLAGS)),
        (403, ("run", "gs://some-bucket/job.json")),
        pytest.param(401, ("models", "describe", MODEL), marks=pytest.mark.slow),
        pytest.param(
            *(403, ("models", "list", "--model_registry=gs://some-bucket/models")),
            marks=pytest.mark.slow,
        ),
        pytest.param(401, ("verify", "gs://some-bucket/out"), marks=pytest.mark.slow),
    ],
)
def test_the_first_object_is_asked_for_and_a_refusal_names_the_login(
    storage, command, arguments, status
):
    server = storage(lambda _: refusal(status))
    code, shown, _ = command(*arguments, STORAGE_EMULATOR_HOST=server.url)
    assert code in (1, 2)
    assert f"there are no credentials, and storage wants some (HTTP {status}): {LOGIN}" in shown
    assert "Traceback" not in shown
    assert "waiting for" not in shown
    assert {authorization for _, authorization in server.requests} == {None}


def test_public_objects_need_no_credentials(storage, command, tmp_path):
    job = json.dumps({"displayName": 5}).encode()

    def reply(path):
        if "alt=media" in path:
            return 200, job
        found = {"name": "job.json", "size": str(len(job)), "generation": "1", "bucket": "b"}
        return 200, json.dumps(found).encode()

    server = storage(reply)
    code, shown, _ = command("run", "gs://b/job.json", STORAGE_EMULATOR_HOST=server.url)
    assert code == 2
    assert "gs://b/job.json is not a valid job" in shown


def test_a_file_of_credentials_that_is_missing_is_named(storage, command):
    server = storage(lambda _: refusal(401))
    variables = {"GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/key.json"}
    _, shown, _ = command("run", *FLAGS, STORAGE_EMULATOR_HOST=server.url, **variables)
    assert "File /nowhere/key.json was not found" in shown
    assert LOGIN in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("arguments", [("run", *FLAGS), ("verify", "gs://some-bucket/out")])
def test_storage_that_refuses_connections_is_asked_twice(command, arguments, tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code, shown, seconds = command(*arguments, STORAGE_EMULATOR_HOST=url)
    assert code == 1
    assert f"Cloud Storage does not answer at {url}: " in shown
    assert "Connection refused" in shown
    assert "Traceback" not in shown
    assert seconds < 60
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("run", *FLAGS), ("run", "gs://some-bucket/job.json")])
def test_storage_that_accepts_and_is_silent_is_left_after_two_tries(command, arguments):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, shown, seconds = command(*arguments, STORAGE_EMULATOR_HOST=url)
    assert code == 1
    assert "Read timed out. (read timeout=10)" in shown
    assert 20 < seconds < 80


@pytest.mark.slow
def test_a_metadata_server_that_is_silent_is_asked_once(storage, command):
    server = storage(lambda _: refusal(401))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        variables = {"GCE_METADATA_IP": address, "GCE_METADATA_HOST": address}
        _, shown, seconds = command("run", *FLAGS, STORAGE_EMULATOR_HOST=server.url, **variables)
    assert LOGIN in shown
    assert "Traceback" not in shown
    assert seconds < 60
