"""The options of a Dataflow job: those of flags, then those of the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_batch_predict.errors import Violation
from beam_batch_predict.runners.derived_options import DerivedOption
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Requested, Resources

__all__ = ["OptionBuilder"]


class OptionBuilder:
    """Builder of the options of a Dataflow job.

    Attributes:
        resources: the requests of the job.
        copies: the copies of the model.
        values: the values of all options so far, by attribute of Beam's options.
        origins: the sources of those values that no flag gave.
        options: options that no flag gave, in their order.
        notes: notes on fields and flags that are not used.
        wrong: the violations.
    """

    def __init__(self, resources: Resources, given: Mapping[str, Any], copies: ModelCopies) -> None:
        self.resources, self.copies, self._given = resources, copies, given
        self.values: dict[str, Any] = {
            name: value
            for name, value in given.items()
            if value is not None and value is not False and value not in ("", [])
        }
        self.origins: dict[str, str] = {}
        self.options: list[DerivedOption] = []
        self.notes: list[str] = []
        self.wrong: list[Violation] = []

    def use(self, name: str, wanted: Requested[Any] | None, *, note: bool = True) -> None:
        """Make an option from a requested value, unless a flag has another value."""
        if wanted is None:
            return
        found = self.values.get(name)
        if found is None:
            self.put(name, wanted.value, wanted.field)
        elif note and str(found) != str(wanted.value):
            self.notes.append(f"--{name}={found} overrides {wanted.field} ({wanted.value})")

    def put(self, name: str, value: Any, origin: str) -> None:
        """Make an option that no flag has set."""
        self.values[name], self.origins[name] = value, origin
        self.options.append(DerivedOption(name, str(value), origin))

    def add(self, name: str, value: str, origin: str) -> None:
        """Add an entry to an option that is a list."""
        self.options.append(DerivedOption(name, value, origin))

    def shown(self, name: str) -> str:
        """Return a value with its source, for messages."""
        origin = self.origins.get(name)
        value = self.values[name]
        return f"{origin} ({value})" if origin else f"--{name}={value}"

    def named(self, name: str) -> str:
        """Return the field or the flag that a value comes from."""
        return self.origins.get(name) or f"--{name}"

    def refuse(self, path: str, message: str) -> None:
        """Add a violation for a field or a flag."""
        self.wrong.append(Violation(path, message))

    def entries(self, name: str) -> list[str]:
        """Return the entries that flags give for an option that is a list."""
        return list(self._given.get(name) or ())
