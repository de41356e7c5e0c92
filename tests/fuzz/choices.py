"""Options for a check, taken from the bytes that it is given."""


class Choices:
    """Takes small numbers from the front of some bytes, so that the fuzzer finds options too."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def number(self, least: int, most: int) -> int:
        """A whole number in [least, most] of at most 256; `least` where no bytes are left."""
        taken, self.rest = self.rest[:1], self.rest[1:]
        return least + (taken[0] if taken else 0) % (most - least + 1)

    def one_of(self, items):
        """One of some items."""
        return items[self.number(0, len(items) - 1)]
