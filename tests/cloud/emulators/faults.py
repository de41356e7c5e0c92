"""A proxy between clients and the emulator of Cloud Storage, which breaks requests by rule.

It also implements features that the emulator lacks: the precondition `ifGenerationMatch` of copies,
resumable uploads and downloads, and the protocol of uploads (see `uploads`). It records every
request.
"""

import contextlib
import email.parser
import http.client
import json
import re
import socket
import struct
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from emulators.uploads import Session

HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
ALWAYS = 10**9


@dataclass
class _Fault:
    kind: str
    pattern: str
    times: int
    after: int = 0
    status: int = 0
    seconds: float = 0.0


class Faults:
    """Rules, and the received requests. The first rule that fits a request is applied.

    Patterns are regular expressions for "METHOD path?query", percent-encoded. `times` is the number
    of requests that fail, after `after` requests that do not.

    Attributes:
        requests: a line "METHOD path?query" for each request, and for each part of a batch. The
            line of an upload ends with the object's name.
        batches: the number of batch requests.
    """

    def __init__(self, emulator):
        self.emulator = emulator.removeprefix("http://")
        self.requests = []
        self.batches = 0
        self.url = ""
        self.sessions = {}
        self.ended = threading.Event()
        self._faults = []
        self._lock = threading.Lock()

    def fail(self, pattern, status, times=ALWAYS, after=0):
        """Answer with an HTTP code, and do nothing else."""
        self._add("fail", pattern, times, after, status=status)

    def lose(self, pattern, times=1, after=0):
        """Perform the request, then answer with 503, so the client does not know the result."""
        self._add("lose", pattern, times, after, status=503)

    def cut(self, pattern, times=1, after=0):
        """End the connection in the middle of the reply's body."""
        self._add("cut", pattern, times, after)

    def reset(self, pattern, times=1, after=0):
        """Reset the connection, in the middle of the request's body, or of the reply's."""
        self._add("reset", pattern, times, after)

    def delay(self, pattern, seconds, times=ALWAYS, after=0):
        """Perform the request after some time."""
        self._add("delay", pattern, times, after, seconds=seconds)

    def hang(self, pattern, times=1, after=0):
        """Never answer."""
        self._add("hang", pattern, times, after)

    def halve(self, pattern, times=1, after=0):
        """Store only the first half of the bytes of an upload, and report this."""
        self._add("halve", pattern, times, after)

    def spoil(self, pattern, times=1, after=0):
        """Change a bit of an upload on its way."""
        self._add("spoil", pattern, times, after)

    def pause(self, pattern, times=1, after=0):
        """Copy nothing yet, and answer that the rewrite of a large object must be continued."""
        self._add("pause", pattern, times, after)

    def _add(self, kind, pattern, times, after, **more):
        self._faults.append(_Fault(kind, pattern, times, after, **more))

    def heal(self):
        """Forget all rules."""
        self._faults = []

    def count(self, pattern):
        """Count the requests with the pattern in their line."""
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
        return _Fault("none", "", 0)


@contextlib.contextmanager
def serving(emulator):
    """Run the proxy in front of an emulator, at `url`."""
    faults = Faults(emulator)
    handler = type("Handler", (_Handler,), {"faults": faults})
    with _Server(("127.0.0.1", 0), handler) as server:
        faults.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield faults
        finally:
            faults.ended.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """Log nothing about clients that have disconnected."""


class _Reply:
    def __init__(self, status, headers=(), body=b""):
        self.status, self.headers, self.body = status, list(headers), body


def _error(status):
    body = b'{"error": {"code": %d, "message": "made by the test"}}' % status
    return _Reply(status, [("Content-Type", "application/json")], body)


_PAUSED = _Reply(
    200,
    [("Content-Type", "application/json")],
    b'{"done": false, "rewriteToken": "continued", "totalBytesRewritten": "1", "objectSize": "2"}',
)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    faults: Faults

    def log_message(self, *_):
        """Log nothing."""

    def _handle(self):
        line, body = f"{self.command} {self.path}", b""
        if self.command == "POST":
            body = self._body()
        if self.path.startswith("/upload"):
            name = re.search(rb'"name": ?"([^"]*)"', body)
            line += f" {name[1].decode()}" if name else ""
        fault = self.faults.next_fault(line)
        breaks_off = fault.kind == "reset" and self.command in ("POST", "PUT")
        if self.command != "POST":
            body = self._body(1 / 2 if breaks_off else 1)
        if fault.kind == "fail":
            return self._answer(_error(fault.status))
        if fault.kind in ("hang", "delay"):
            self.faults.ended.wait(fault.seconds or None)
        if fault.kind == "hang" or (breaks_off and not self._session()):
            return self._reset()
        if fault.kind == "spoil":
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.kind == "pause":
            return self._answer(_PAUSED)
        reply = self._reply(body[: len(body) // 2] if fault.kind == "halve" else body)
        if breaks_off:
            return self._reset()
        if fault.kind == "lose":
            reply = _error(fault.status)
        self._answer(reply, fault.kind in ("cut", "reset"))
        return self._reset() if fault.kind == "reset" else None

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _handle

    def _reply(self, body):
        if self.path.startswith("/batch/"):
            return self._batch(body)
        if self.command == "PUT" and self._session():
            return self._uploaded(self._session(), body)
        if self._is_refused(self.path) or self._is_replaced(self.path):
            return _error(412)
        return self._forward(self.command, self.path, dict(self.headers), body)

    def _session(self):
        """Return the name of a resumable upload; empty if the request is not part of one."""
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        return query.get("upload_id", [""])[0]

    def _uploaded(self, name, body):
        def make(content):
            there = f"0-{len(content) - 1}" if content else "*"
            headers = {"Content-Range": f"bytes {there}/{len(content)}"}
            return self._forward("PUT", self.path, headers, content)

        session = self.faults.sessions.setdefault(name, Session())
        made = session.take(self.headers["Content-Range"], body, make)
        return made or _Reply(308, session.headers())

    def _body(self, share=1):
        if self.headers.get("Transfer-Encoding") == "chunked":
            return self._chunks()
        return self.rfile.read(int(int(self.headers.get("Content-Length") or 0) * share))

    def _chunks(self):
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _reset(self):
        """End the connection with a TCP reset."""
        self.close_connection = True
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

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
        """Return whether the request requires that no object exists, but there is one."""
        parts = urllib.parse.urlsplit(path)
        query = urllib.parse.parse_qs(parts.query)
        if query.get("ifGenerationMatch") != ["0"]:
            return False
        if copy := re.search("/(?:copy|rewrite)To(/.*)", parts.path):
            target = f"/storage/v1{copy[1]}"
        elif query.get("uploadType") == ["resumable"] and "name" in query:
            bucket = parts.path.removeprefix("/upload")
            target = f"{bucket}/{urllib.parse.quote(query['name'][0], safe='')}"
        else:
            return False
        return self._forward("GET", target, {}, None).status == 200

    def _is_replaced(self, path):
        """Return whether the object to download has another generation than required."""
        parts = urllib.parse.urlsplit(path)
        [wanted] = urllib.parse.parse_qs(parts.query).get("ifGenerationMatch", [""])
        if not wanted or not parts.path.startswith("/download"):
            return False
        found = self._forward("GET", parts.path.removeprefix("/download"), {}, None)
        return json.loads(found.body).get("generation") != wanted

    def _batch(self, body):
        """Perform the requests of a batch one by one."""
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
            if fault.kind == "delay":
                self.faults.ended.wait(fault.seconds)
            if fault.kind == "fail":
                reply = _error(fault.status)
            elif fault.kind == "pause":
                reply = _PAUSED
            elif self._is_refused(path):
                reply = _error(412)
            else:
                content = inner.get_payload().strip().encode()
                reply = self._forward(method, path, dict(inner.items()), content)
                if fault.kind == "lose":
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
