"""The base of the jobs of all services: reading, the model, output fields.

A subclass for a service has its fields, its output-only fields, its rules and `to_spec`.
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
    """A job of a service, as a `spec.JobRenderer`.

    Attributes:
        output_only: the attributes that the service fills, ignored in a job to run.
        output_kept: the reasons why some of these attributes stay in a job to run, by name.
        ignored_as: the text of the notes on ignored attributes.
    """

    output_only: ClassVar[frozenset[str]] = frozenset()
    output_kept: ClassVar[Mapping[str, str]] = {}
    ignored_as: ClassVar[str] = "ignored"

    _ignored: frozenset[str] = PrivateAttr(frozenset())
    _resolved: ResolvedModel | None = PrivateAttr(None)

    @classmethod
    def parse(cls: type[AnyJob], source: str | bytes | Mapping[str, Any]) -> AnyJob:
        """Read the resource of any job, and check only the types of its fields.

        It accepts everything that the service writes: also finished jobs and other kinds of jobs.

        Args:
            source: JSON text (not the path of a file), or a parsed document.

        Raises:
            InvalidJob: the text is not JSON, or fields are unknown or of a wrong type.
        """
        job, mistakes = read_resource(cls, read_json(source))
        if mistakes:
            raise InvalidJob("job", violations(mistakes))
        return job

    @classmethod
    def read(
        cls: type[AnyJob], source: str | bytes | Mapping[str, Any], where: str = "job"
    ) -> AnyJob:
        """Read a job of this service to run, as `jobs.read_job` does for any service.

        Args:
            source: JSON text (not the path of a file), or a parsed document.
            where: the name of the job in messages, such as that of its file.

        Raises:
            InvalidJob: the job is not valid; the error lists all mistakes.
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
        # A document that is no object has no path, and no fields for rules.
        if "" not in broken:
            wrong += job._breaches(broken)
        if wrong:
            raise InvalidJob(where, wrong)
        return job

    def resolved(self: AnyJob, model_registry: str = "") -> AnyJob:
        """Return the same job with its model looked up: the version and its directory.

        Args:
            model_registry: the directory of models, as for `registry.lookup.resolve`.

        Raises:
            InvalidArgument: the model does not exist, or no registry is set.
            ModelError: the registry cannot be read, or the model cannot be run here.
        """
        name = self._model_name()
        if not name or self._resolved is not None:
            return self
        job = self.model_copy()
        job._resolved = resolve(name, registry=model_registry)
        return job

    def render(self, outcome: Outcome) -> bytes:
        """Return the resource as indented JSON, with the output-only fields of a run.

        The output-only fields of an earlier run are left out.

        Args:
            outcome: the outcome of the run so far.
        """
        fields = self._set_fields(self.output_only) | self._filled(outcome)
        return type(self)(**fields).to_json_bytes()

    @abc.abstractmethod
    def _model_name(self) -> str | None:
        """Return the name of the model in a registry, if the job has one."""

    @abc.abstractmethod
    def _breaches(self, broken: Collection[str] = ()) -> list[Violation]:
        """Return the violations of rules, and the requests that are not supported.

        Args:
            broken: the paths of values that could not be read.
        """

    @abc.abstractmethod
    def _filled(self, outcome: Outcome) -> dict[str, Any]:
        """Return the values of the output-only attributes for a run."""

    def _set_fields(self, without: Collection[str]) -> dict[str, Any]:
        """Return the set attributes, except some."""
        return {name: getattr(self, name) for name in self.model_fields_set - set(without)}

    def _notes_on_model(self) -> list[str]:
        """Return notes on the version of the model that the job runs."""
        found = self._resolved
        if found is None:
            return []
        texts = [f"{found.name}@{found.version} is {found.uri}", *found.notes]
        return [f"model: {text}." for text in texts]

    def _notes_on_outputs(self) -> list[str]:
        """Return notes on the output-only fields of the job, in their order."""
        ignored = self._ignored | (self.model_fields_set & self.output_only)
        return [
            f"{camel(name)}: output only; {self.output_kept.get(name, self.ignored_as)}."
            for name in type(self).model_fields
            if name in ignored
        ]
