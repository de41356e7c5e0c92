"""Resumable uploads as Cloud Storage documents them, in front of an emulator.

The emulator gets an object in one piece when all of its bytes have arrived. Until then, bytes that
were sent twice are stored once, and a session answers which bytes it has.

Source: https://cloud.google.com/storage/docs/performing-resumable-uploads
"""

import re

QUANTUM = 256 * 1024


class Session:
    """An upload.

    Attributes:
        content: the bytes that have arrived.
        made: the reply that describes the object; None until the object exists.
    """

    def __init__(self):
        self.content = bytearray()
        self.made = None

    def take(self, content_range, body, forward):
        """Store the bytes of a request.

        Args:
            content_range: its header.
            body: its bytes, or those that have arrived.
            forward: makes the object of all bytes, and returns the reply.

        Returns:
            The reply; None if the object is not complete.
        """
        if self.made is not None:
            return self.made
        start, stop, total = re.fullmatch(
            r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)", content_range
        ).groups()
        if start is not None:
            whole = len(body) == int(stop) - int(start) + 1
            known = len(self.content) - int(start)
            assert known >= 0, "bytes are missing before the bytes of this request"
            assert total != "*" or int(stop) + 1 == int(start) or (int(stop) + 1) % QUANTUM == 0
            self.content += body[known:]
            if not whole or total == "*":
                del self.content[len(self.content) // QUANTUM * QUANTUM :]
        if total != "*" and len(self.content) == int(total):
            self.made = forward(bytes(self.content))
        return self.made

    def headers(self):
        """Return the headers of a reply with the number of bytes that have arrived."""
        return [("Range", f"bytes=0-{len(self.content) - 1}")] if self.content else []
