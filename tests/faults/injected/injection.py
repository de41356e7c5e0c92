"""Faults at a chosen change of a directory, by an audit hook, without changes of the library.

Every change of the file system below a directory is counted (files made, moved, removed), and the
fault happens before one of them. It is used in this process, and in separate processes by
`sitecustomize.py` in this directory.
"""

import errno
import json
import os
import re
import signal
import sys
import threading
import time

CHANGES = frozenset({"open", "os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir"})

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Died(BaseException):
    """The process counts as ended: it must not do this."""


class Fault:
    """One fault.

    Args:
        below: the directory whose changes count.
        what: "count", only count; "kill", the process kills itself; "die", this and every later
            change raises, as if the process had ended; "fail", the change raises an OSError;
            "hold", the change waits for the file `<marks>/go`.
        at: the number of the change, from 1.
        pattern: a regular expression; a change counts if its path contains a match.
        event: the name of the audit event of the changes that count; empty for all.
        code: the code of the OSError.
        process: "main" or "worker", to fail only in it; empty for any.
        beside: the name of a file that must be in the same directory for a change to count.
        marks: a directory for files that record events; with it, a fault happens once in all
            processes together.
    """

    def __init__(
        self,
        below,
        what,
        at=1,
        pattern="",
        event="",
        code=errno.ENOSPC,
        process="",
        beside="",
        marks="",
    ):
        self.below, self.what, self.at, self.code, self.marks = below, what, at, code, marks
        self.pattern, self.event, self.process = re.compile(pattern), event, process
        self.beside = beside
        self.seen = []
        self.happened = False
        self._lock = threading.Lock()

    def __call__(self, event, arguments):
        if event not in CHANGES or (self.event and event != self.event):
            return
        path = _changed(event, arguments)
        if path is None or not path.startswith(self.below) or not self.pattern.search(path):
            return
        if self.process and self.process != _process():
            return
        if self.beside and not os.path.exists(os.path.join(os.path.dirname(path), self.beside)):
            return
        with self._lock:
            if self.what == "die" and self.happened:
                raise Died
            self.seen.append(f"{event} {path}")
            if len(self.seen) != self.at or self.what == "count" or not self._is_first():
                return
            self.happened = True
        self._happen(path)

    def _is_first(self):
        if not self.marks:
            return True
        try:
            os.close(os.open(os.path.join(self.marks, "reached"), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

    def _happen(self, path):
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "die":
            raise Died
        elif self.what == "fail":
            raise OSError(self.code, os.strerror(self.code), path)
        elif self.what == "hold":
            while not os.path.exists(os.path.join(self.marks, "go")):
                time.sleep(0.005)


def _process():
    command = " ".join(sys.orig_argv)
    is_worker = "beam_batch_predict.runners.worker_main" in command or "SdkHarness" in command
    return "worker" if is_worker else "main"


def _changed(event, arguments):
    """Return the path that an event changes; None if it changes no path."""
    path = arguments[1] if event in ("os.rename", "os.link") else arguments[0]
    if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # a name in an open directory
        path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), os.fsdecode(path))
    if event == "os.mkdir" and os.path.isdir(path):
        return None
    if event == "open":
        flags = arguments[2]
        if not isinstance(flags, int) or not flags & WRITING:
            return None
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    return path if isinstance(path, str) else None


_faults = []
_hooked = False


def _hook(event, arguments):
    for fault in _faults:
        fault(event, arguments)


def begin(fault):
    """Begin a fault."""
    global _hooked
    if not _hooked:  # a hook cannot be removed
        sys.addaudithook(_hook)
        _hooked = True
    _faults.append(fault)


def end(fault):
    """End the fault."""
    _faults.remove(fault)


def begin_from_environment():
    """Begin the fault that the environment describes as JSON."""
    description = os.environ.get("INJECTED_FAULT")
    if description:
        begin(Fault(**json.loads(description)))
