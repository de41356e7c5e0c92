"""The base of the jobs of all services: reading, the model, the record.

A service says its fields, which of them are output only, its rules, and what a run is.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import PrivateAttr

from beam_batch_predict.errors import InvalidJob, Violation
from beam_batch_predict.jobs.json_tree import read_json
from beam_batch_predict.jobs.resource import Resource, camel, read_resource, violations
from beam_batch_predict.registry.lookup import resolve
from beam_batch_predict.registry.resolved import ResolvedModel
from beam_batch_predict.spec import Outcome

__all__ = ["JobResource"]

AnyJob = TypeVar("AnyJob", bound="JobResource")


class JobResource(Resource, abc.ABC):
    """A job of a service; it is a `spec.JobRecord`.

    Attributes:
        output_only: the attributes that the service fills, ignored in a job that is to be run.
        output_kept: those of them that stay in a job that is to be run, and why.
        ignored_as: what notes say of the others.
    """

    output_only: ClassVar[frozenset[str]] = frozenset()
    output_kept: ClassVar[Mapping[str, str]] = {}
    ignored_as: ClassVar[str] = "ignored"

    _ignored: frozenset[str] = PrivateAttr(frozenset())
    _resolved: ResolvedModel | None = PrivateAttr(None)

    @classmethod
    def parse(
        cls: type[AnyJob], source: str | bytes | Mapping[str, Any], where: str = "job"
    ) -> AnyJob:
        """Read a resource of any job, checking the types of its fields and nothing else.

        It takes whatever the service may write: jobs of other kinds, and finished ones.

        Args:
            source: JSON text (not the path of a file), or a document already parsed.
            where: what messages call the job.

        Raises:
            InvalidJob: the text is not JSON, or fields are unknown or of a wrong type.
        """
        job, mistakes = read_resource(cls, read_json(source, where))
        if mistakes:
            raise InvalidJob(where, violations(mistakes))
        return job

    @classmethod
    def read(
        cls: type[AnyJob], source: str | bytes | Mapping[str, Any], where: str = "job"
    ) -> AnyJob:
        """Read a job that is to be run, as `jobs.read_job` does, and take it for this service's.

        Args:
            source: JSON text (not the path of a file), or a document already parsed.
            where: what messages call the job, such as the name of its file.

        Raises:
            InvalidJob: it has every mistake of the job, each with the path of its field.
        """
        given, mistakes = read_resource(cls, read_json(source, where))
        unread = {location[0] for location, _ in mistakes if location}
        ignored = {name for name in cls.output_only if given.has(name) or camel(name) in unread}
        kept = given._set_fields(cls.output_only - cls.output_kept.keys())
        job = cls(**kept)
        job._ignored = frozenset(ignored)
        outputs = {(camel(name),) for name in cls.output_only}
        wrong = violations([each for each in mistakes if each[0][:1] not in outputs])
        broken = {violation.path for violation in wrong}
        # What is no object at all has no path, and no fields that rules could look at.
        if "" not in broken:
            wrong += job._breaches(broken)
        if wrong:
            raise InvalidJob(where, wrong)
        return job

    def resolved(self: AnyJob, model_registry: str = "") -> AnyJob:
        """The same job, knowing which version of its model is meant and where its files are.

        Args:
            model_registry: the directory of models; as `registry.lookup.resolve` has it.

        Raises:
            InvalidArgument: there is no such model, or nothing says where to look for it.
            ModelError: the registry cannot be read, or the model cannot be run here.
        """
        name = self._model_name()
        if not name or self._resolved is not None:
            return self
        job = self.model_copy()
        job._resolved = resolve(name, registry=model_registry)
        return job

    def record(self, outcome: Outcome) -> bytes:
        """The whole resource as indented JSON, its output-only fields filled.

        Output-only fields of an earlier run are left out.

        Args:
            outcome: how the run ended, or how it stands.
        """
        fields = self._set_fields(self.output_only) | self._filled(outcome)
        return type(self)(**fields).to_json_bytes()

    @abc.abstractmethod
    def _model_name(self) -> str | None:
        """The name of the model in a registry, where the job gives one."""

    @abc.abstractmethod
    def _breaches(self, broken: Collection[str] = ()) -> list[Violation]:
        """The rules that the job breaks, and what it asks for that this release cannot do.

        Args:
            broken: paths of values that could not be read.
        """

    @abc.abstractmethod
    def _filled(self, outcome: Outcome) -> dict[str, Any]:
        """The values of the output-only attributes after a run."""

    def _set_fields(self, without: Collection[str]) -> dict[str, Any]:
        """The attributes that were set, except some."""
        return {name: getattr(self, name) for name in self.model_fields_set - set(without)}

    def _notes_on_model(self) -> list[str]:
        """Which version of its model the job runs, and what is done with it in another way."""
        found = self._resolved
        if found is None:
            return []
        texts = [f"{found.name}@{found.version} is {found.uri}", *found.notes]
        return [f"model: {text}." for text in texts]

    def _notes_on_outputs(self) -> list[str]:
        """What is done with output-only fields of the job, in the order of the fields."""
        ignored = self._ignored | (self.model_fields_set & self.output_only)
        return [
            f"{camel(name)}: output only; {self.output_kept.get(name, self.ignored_as)}."
            for name in type(self).model_fields
            if name in ignored
        ]
