"""Stand-in for the Dataflow API (v1b3) over HTTP, which by default runs nothing.

It stores the requests of clients of Dataflow, and answers with states from a script. It listens on
127.0.0.1; clients of Beam use HTTP, and stage to local directories, only if the endpoint is
`localhost`.

    with StandIn("RUNNING", "DONE") as service:
        …  # --dataflow_endpoint=<service.url> --no_auth
        service.created_job["environment"]

To try it by hand: `python tests/runners/dataflow/stand_in.py [STATE …]`.
"""

from __future__ import annotations

import json
import re
import sys
import threading
import traceback
import urllib.parse
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

_JOBS = re.compile(
    r"/v1b3/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/jobs"
    r"(?:/(?P<job>[^/:]+)(?:/(?P<what>messages|metrics))?)?"
)
_LAUNCH = re.compile(
    r"/v1b3/projects/(?P<project>[^/]+)/locations/(?P<location>[^/]+)/flexTemplates:launch"
)
_TIME = "2026-01-02T03:04:{:02d}.{:06d}Z"

_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}

CANCELLED = 5
"""JOB_STATE_CANCELLED, as clients write enums: `enum-encoding=int`."""


class Request(NamedTuple):
    """A request of a client; `body` is parsed, or None."""

    method: str
    path: str
    query: dict[str, str]
    body: Any


class Answer(NamedTuple):
    """An answer that replaces the usual one."""

    status: int
    body: bytes
    type: str = "application/json"


def error(status: int, message: str) -> Answer:
    """Make an error in the form of Google's services."""
    what = {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN")}
    return Answer(status, json.dumps({"error": what}).encode())


GARBAGE = Answer(200, b"<html>not what was asked for", "text/html")


class StandIn:
    """The service: a context manager.

    Args:
        *states: the states of every job, one for each request for it, without `JOB_STATE_`; the
            last remains.
        on_create: a function that is called with the id and the body of each new job, in a thread.
    """

    def __init__(
        self, *states: str, on_create: Callable[[str, dict[str, Any]], None] | None = None
    ) -> None:
        self._states = states or ("RUNNING",)
        self._on_create = on_create
        self._lock = threading.Lock()
        self._left: dict[str, deque[str]] = {}
        self._out_of_turn: list[tuple[str, deque[Answer]]] = []
        self._server: ThreadingHTTPServer
        self.requests: list[Request] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.messages: list[dict[str, str]] = []
        self.metrics: list[dict[str, Any]] = []
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> StandIn:
        service = self

        class Handler(_Handler):
            stand_in = service

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        serve.start()
        self.threads.append(serve)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        for thread in self.threads:
            thread.join()

    @property
    def url(self) -> str:
        """The URL of the service."""
        return f"http://localhost:{self._server.server_port}"

    @property
    def created_job(self) -> dict[str, Any]:
        """The body of the only request that made a job."""
        (request,) = self.sent("POST", "/jobs")
        body: dict[str, Any] = request.body
        return body

    def sent(self, method: str = "", path: str = "") -> list[Request]:
        """Return the requests of a method whose path ends with a text."""
        with self._lock:
            return [r for r in self.requests if method in ("", r.method) and r.path.endswith(path)]

    def fail(self, where: str, *answers: Answer) -> None:
        """Set the answer of the next requests whose "METHOD path" matches a regular expression."""
        with self._lock:
            self._out_of_turn.append((where, deque(answers)))

    def say(self, text: str, importance: str = "ERROR") -> None:
        """Add a message to the messages of all jobs."""
        with self._lock:
            number = len(self.messages)
            self.messages.append(
                {
                    "id": f"message-{number}",
                    "time": _TIME.format(number // 1000, number % 1000 * 1000),
                    "messageText": text,
                    "messageImportance": f"JOB_MESSAGE_{importance}",
                }
            )

    def count(self, name: str, value: float, step: str = "", namespace: str = "") -> None:
        """Add a counter of the user, with its committed and its tentative value."""
        context = {"step": step, "namespace": namespace}
        for more in ({}, {"tentative": "true"}):
            named = {"origin": "user", "name": name, "context": {**context, **more}}
            self.metrics.append({"name": named, "scalar": value, "updateTime": _TIME.format(0, 0)})

    def go_to(self, job: str, *states: str) -> None:
        """Replace the further states of a job."""
        with self._lock:
            self._left[job] = deque(states)

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            for where, answers in self._out_of_turn:
                if answers and re.search(where, f"{request.method} {request.path}"):
                    return answers.popleft()
        launch = _LAUNCH.fullmatch(request.path)
        if launch and request.method == "POST":
            return self._launch(launch, request.body)
        found = _JOBS.fullmatch(request.path)
        if found is None:
            return error(404, f"no such method: {request.path}")
        job, what = found["job"], found["what"]
        if job is None and request.method == "POST":
            return _json(self._create(found, request.body))
        if job is None and request.method == "GET":
            return _json({"jobs": list(self.jobs.values())})
        if job not in self.jobs:
            return error(404, f"(0a1b2c): Information about job {job} could not be found")
        if request.method == "PUT":
            return self._update(job, request.body)
        if what == "messages":
            return self._list_messages(request.query)
        if what == "metrics":
            return _json({"metricTime": _TIME.format(0, 0), "metrics": self.metrics})
        return _json(self._look_at(job))

    def _create(self, found: re.Match[str], body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            job = f"2026-01-02_03_04_05-{1000 + len(self.jobs)}"
            self._left[job] = deque(self._states)
            self.jobs[job] = {
                "id": job,
                "projectId": found["project"],
                "location": found["location"],
                "name": body.get("name", ""),
                "type": "JOB_TYPE_BATCH",
                "currentState": f"JOB_STATE_{self._states[0]}",
                "createTime": _TIME.format(0, 0),
                **{k: body[k] for k in ("clientRequestId", "labels") if k in body},
            }
        if self._on_create is not None:
            runs = threading.Thread(target=self._call, args=(job, body), daemon=True)
            self.threads.append(runs)
            runs.start()
        return self.jobs[job]

    def _call(self, job: str, body: dict[str, Any]) -> None:
        assert self._on_create is not None
        try:
            self._on_create(job, body)
        except BaseException:
            self.say(traceback.format_exc())
            self.go_to(job, "FAILED")
            raise

    def _look_at(self, job: str) -> dict[str, Any]:
        with self._lock:
            left = self._left[job]
            state = left.popleft() if len(left) > 1 else left[0]
            self.jobs[job]["currentState"] = f"JOB_STATE_{state}"
            return dict(self.jobs[job])

    def _update(self, job: str, body: dict[str, Any]) -> Answer:
        if body.get("requestedState") not in (CANCELLED, "JOB_STATE_CANCELLED"):
            return error(400, f"requestedState: {body.get('requestedState')}")
        self.go_to(job, "CANCELLING", "CANCELLED")
        return _json(self.jobs[job])

    def _list_messages(self, query: dict[str, str]) -> Answer:
        """List messages since the requested time, two on a page."""
        with self._lock:
            since = _nanoseconds(query.get("startTime", ""))
            found = [m for m in self.messages if _nanoseconds(m["time"]) >= since]
        at = int(query.get("pageToken") or 0)
        page: dict[str, Any] = {"jobMessages": found[at : at + 2]}
        if at + 2 < len(found):
            page["nextPageToken"] = str(at + 2)
        return _json(page)

    def _launch(self, found: re.Match[str], body: dict[str, Any]) -> Answer:
        """Answer the launch of a flex template, of which nothing is run."""
        parameter = body.get("launchParameter") or body.get("launch_parameter") or {}
        if not parameter.get("jobName"):
            return error(400, "launchParameter.jobName: missing")
        if not (parameter.get("containerSpecGcsPath") or parameter.get("containerSpec")):
            return error(400, "launchParameter: neither containerSpec nor containerSpecGcsPath")
        if body.get("validateOnly"):
            return _json({})
        return _json({"job": self._create(found, {"name": parameter["jobName"]})})


def _nanoseconds(time: str) -> tuple[str, str]:
    """Convert a time to a number that can be compared, with any digits of its fraction."""
    second, _, fraction = time.rstrip("Z").partition(".")
    return second, fraction.ljust(9, "0")


def _json(value: Any) -> Answer:
    return Answer(200, json.dumps(value).encode())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stand_in: StandIn

    def _serve(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        content = self.rfile.read(length)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = json.loads(content) if content else None
        path = urllib.parse.unquote(url.path)
        answer = self.stand_in._answer(Request(self.command, path, query, body))
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    do_GET = do_POST = do_PUT = _serve  # noqa: N815 - named by http.server

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    with StandIn(*sys.argv[1:]) as server:
        print(server.url, flush=True)
        try:
            server.threads[0].join()
        except KeyboardInterrupt:
            print(json.dumps([request._asdict() for request in server.requests], indent=1))
