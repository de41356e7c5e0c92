"""Options of a check, from the bytes of its input."""


class Choices:
    """Reads small numbers from the start of some bytes, so that the fuzzer also tries options."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def number(self, least: int, most: int) -> int:
        """Return a whole number in [least, most] of at most 256; `least` if no bytes are left."""
        taken, self.rest = self.rest[:1], self.rest[1:]
        return least + (taken[0] if taken else 0) % (most - least + 1)

    def one_of(self, items):
        """Return one of some items."""
        return items[self.number(0, len(items) - 1)]
