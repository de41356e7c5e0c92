"""Options of a Dataflow job, from its flags first, then from the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beam_batch_predict.errors import Violation
from beam_batch_predict.runners.derived_options import PlannedOption
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Requested, Resources

__all__ = ["OptionBuilder"]


class OptionBuilder:
    """Gathers options, one subject after the other, and what is wrong with them.

    Attributes:
        resources: what the job asks for.
        copies: of the model.
        values: of all options so far, by attribute of Beam's options.
        origins: of those of them that no flag gave.
        options: those that no flag gave, in their order.
        notes: what is done in another way than a field or a flag says.
        wrong: what cannot work.
    """

    def __init__(self, resources: Resources, given: Mapping[str, Any], copies: ModelCopies) -> None:
        self.resources, self.copies, self._given = resources, copies, given
        self.values: dict[str, Any] = {
            name: value
            for name, value in given.items()
            if value is not None and value is not False and value not in ("", [])
        }
        self.origins: dict[str, str] = {}
        self.options: list[PlannedOption] = []
        self.notes: list[str] = []
        self.wrong: list[Violation] = []

    def take(self, name: str, wanted: Requested[Any] | None, *, tell: bool = True) -> None:
        """Make an option of a value, unless a flag has given one."""
        if wanted is None:
            return
        found = self.values.get(name)
        if found is None:
            self.put(name, wanted.value, wanted.field)
        elif tell and str(found) != str(wanted.value):
            self.notes.append(f"--{name}={found} overrides {wanted.field} ({wanted.value})")

    def put(self, name: str, value: Any, origin: str) -> None:
        """Make an option of a value that no flag has given."""
        self.values[name], self.origins[name] = value, origin
        self.options.append(PlannedOption(name, str(value), origin))

    def add(self, name: str, value: str, origin: str) -> None:
        """An entry of an option that is a list."""
        self.options.append(PlannedOption(name, value, origin))

    def shown(self, name: str) -> str:
        """A value and where it comes from, for messages."""
        origin = self.origins.get(name)
        value = self.values[name]
        return f"{origin} ({value})" if origin else f"--{name}={value}"

    def named(self, name: str) -> str:
        """The field or the flag that a value comes from."""
        return self.origins.get(name) or f"--{name}"

    def refuse(self, path: str, message: str) -> None:
        """Say what is wrong with a field or a flag."""
        self.wrong.append(Violation(path, message))

    def entries(self, name: str) -> list[str]:
        """What flags give for an option that is a list."""
        return list(self._given.get(name) or ())
