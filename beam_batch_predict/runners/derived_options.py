"""Options of a runner that follow from the job, beside the flags that were given."""

from __future__ import annotations

from typing import NamedTuple

from beam_batch_predict.errors import Violation

__all__ = ["DerivedOptions", "DerivedOption"]


class DerivedOption(NamedTuple):
    """An option that no flag gave.

    Attributes:
        name: the name of Beam's flag, without dashes.
        value: the value, as on a command line.
        source: the origin of the value, such as a field of the job.
    """

    name: str
    value: str
    source: str

    @property
    def flag(self) -> str:
        """The option as on a command line.

        Example:
            >>> DerivedOption("num_workers", "2", "…").flag
            '--num_workers=2'
        """
        return f"--{self.name}={self.value}"


class DerivedOptions(NamedTuple):
    """Options that an engine derives from a job and from the flags that were given.

    Attributes:
        options: options that no flag gave.
        notes: notes on fields and flags that are not used.
        violations: the violations of rules.
    """

    options: tuple[DerivedOption, ...] = ()
    notes: tuple[str, ...] = ()
    violations: tuple[Violation, ...] = ()
