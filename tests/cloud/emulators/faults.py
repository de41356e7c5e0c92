"""A Cloud Storage that fails: between clients and the emulator, it breaks requests by rule.

It also keeps what the emulator does not: the precondition `ifGenerationMatch=0` of copies
and of resumable uploads, and it notes every request.
"""

import contextlib
import email.parser
import http.client
import re
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass
class _Fault:
    pattern: str
    status: int
    times: int
    after: int
    cut: bool
    lost: bool


class Faults:
    """Rules, and the requests that came.

    Attributes:
        requests: a line "METHOD path?query" for each request, and for each of a batch.
        batches: how many batch requests came.
    """

    def __init__(self, emulator):
        self.emulator = emulator.removeprefix("http://")
        self.requests = []
        self.batches = 0
        self.url = ""
        self._faults = []
        self._lock = threading.Lock()

    def fail(self, pattern, status, times=10**9, after=0):
        """Answer requests whose line has the pattern with an error, instead of doing them.

        Args:
            pattern: a regular expression for "METHOD path?query", percent-encoded.
            status: the HTTP code.
            times: how many of them fail, from the first.
            after: how many pass before that.
        """
        self._faults.append(_Fault(pattern, status, times, after, cut=False, lost=False))

    def cut(self, pattern, times=1):
        """Break the connection in the middle of the reply's body."""
        self._faults.append(_Fault(pattern, 0, times, 0, cut=True, lost=False))

    def lose(self, pattern, times=1):
        """Do the request, then answer with 503: the client cannot know that it was done."""
        self._faults.append(_Fault(pattern, 503, times, 0, cut=False, lost=True))

    def heal(self):
        """Forget all rules."""
        self._faults = []

    def count(self, pattern):
        """How many requests had the pattern in their line."""
        return sum(bool(re.search(pattern, line)) for line in self.requests)

    def next_fault(self, line):
        with self._lock:
            self.requests.append(line)
            for fault in self._faults:
                if not re.search(fault.pattern, line):
                    continue
                if fault.after:
                    fault.after -= 1
                elif fault.times:
                    fault.times -= 1
                    return fault
        return None


@contextlib.contextmanager
def serving(emulator):
    """Faults in front of an emulator, at `url`."""
    faults = Faults(emulator)
    handler = type("Handler", (_Handler,), {"faults": faults})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        faults.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield faults
        finally:
            server.shutdown()
            thread.join()


class _Reply:
    def __init__(self, status, headers=(), body=b""):
        self.status, self.headers, self.body = status, list(headers), body


def _error(status):
    body = b'{"error": {"code": %d, "message": "made by the test"}}' % status
    return _Reply(status, [("Content-Type", "application/json")], body)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faults: Faults

    def log_message(self, *_):
        """Say nothing."""

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        fault = self.faults.next_fault(f"{self.command} {self.path}")
        if fault and not fault.cut and not fault.lost:
            return self._answer(_error(fault.status))
        if self.path.startswith("/batch/"):
            reply = self._batch(body)
        elif self._is_refused(self.path):
            reply = _error(412)
        else:
            reply = self._forward(self.command, self.path, dict(self.headers), body)
        if fault and fault.lost:
            reply = _error(fault.status)
        return self._answer(reply, cut=bool(fault and fault.cut))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle

    def _chunks(self):
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _answer(self, reply, cut=False):
        own = self.faults.url.removeprefix("http://").encode()
        emulator = self.faults.emulator
        body, headers = reply.body, []
        for name, value in reply.headers:
            if name.lower() == "content-type" and "json" in value:
                body = body.replace(emulator.encode(), own)
            headers.append((name, value.replace(emulator, own.decode())))
        self.send_response(reply.status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def _forward(self, method, path, headers, body):
        kept = {k: v for k, v in headers.items() if k.lower() not in HOP_BY_HOP | {"host"}}
        connection = http.client.HTTPConnection(self.faults.emulator)
        with contextlib.closing(connection):
            connection.request(method, path, body, kept)
            response = connection.getresponse()
            return _Reply(response.status, response.getheaders(), response.read())

    def _is_refused(self, path):
        """Whether there is an object although the request demands that there be none."""
        parts = urllib.parse.urlsplit(path)
        query = urllib.parse.parse_qs(parts.query)
        if query.get("ifGenerationMatch") != ["0"]:
            return False
        if "/copyTo/" in parts.path:
            target = "/storage/v1" + parts.path.partition("/copyTo")[2]
        elif query.get("uploadType") == ["resumable"] and "name" in query:
            bucket = parts.path.removeprefix("/upload")
            target = f"{bucket}/{urllib.parse.quote(query['name'][0], safe='')}"
        else:
            return False
        return self._forward("GET", target, {}, None).status == 200

    def _batch(self, body):
        """A batch request, one by one."""
        self.faults.batches += 1
        head = f"Content-Type: {self.headers['Content-Type']}\n\n".encode()
        message = email.parser.BytesParser().parsebytes(head + body)
        replies = []
        for part in message.get_payload():
            request, _, rest = part.get_payload().partition("\n")
            method, url, _ = request.split()
            split = urllib.parse.urlsplit(url)
            path = f"{split.path}?{split.query}" if split.query else split.path
            fault = self.faults.next_fault(f"{method} {path}")
            inner = email.parser.Parser().parsestr(rest)
            if fault and not fault.lost:
                reply = _error(fault.status)
            elif self._is_refused(path):
                reply = _error(412)
            else:
                content = inner.get_payload().strip().encode()
                reply = self._forward(method, path, dict(inner.items()), content)
                if fault:
                    reply = _error(fault.status)
            text = reply.body.decode()
            replies.append(
                f"--end-of-part\r\nContent-Type: application/http\r\n\r\n"
                f"HTTP/1.1 {reply.status} {http.client.responses[reply.status]}\r\n"
                f"Content-Type: application/json\r\n\r\n{text}\r\n"
            )
        content = "".join(replies) + "--end-of-part--\r\n"
        kind = "multipart/mixed; boundary=end-of-part"
        return _Reply(200, [("Content-Type", kind)], content.encode())
