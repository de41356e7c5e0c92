"""Resumable uploads as Cloud Storage documents them, before an emulator that knows less.

The emulator gets an object in one piece when all of it has come. Until then, bytes that were
sent twice are kept once, and a session answers what it has.

Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

import re

QUANTUM = 256 * 1024


class Session:
    """An upload.

    Attributes:
        content: the bytes that have come.
        made: the reply that tells of the object; None before there is one.
    """

    def __init__(self):
        self.content = bytearray()
        self.made = None

    def take(self, content_range, body, forward):
        """What becomes of a request.

        Args:
            content_range: its header.
            body: its bytes, or as many of them as have come.
            forward: makes the object of all bytes; gives the reply.

        Returns:
            The reply; None where there is no more to say than what has come.
        """
        if self.made is not None:
            return self.made
        start, stop, total = re.fullmatch(
            r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range
        ).groups()
        if start is not None:
            whole = len(body) == int(stop) - int(start) + 1
            known = len(self.content) - int(start)
            assert known >= 0, "bytes are missing between what has come and what is sent"
            assert total != "*" or int(stop) + 1 == int(start) or (int(stop) + 1) % QUANTUM == 0
            self.content += body[known:]
            if not whole or total == "*":
                del self.content[len(self.content) // QUANTUM * QUANTUM :]
        if total != "*" and len(self.content) == int(total):
            self.made = forward(bytes(self.content))
        return self.made

    def headers(self):
        """Of a reply that says how many bytes have come."""
        return [("Range", f"bytes=0-{len(self.content) - 1}")] if self.content else []
