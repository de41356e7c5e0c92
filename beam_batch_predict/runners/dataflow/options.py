"""Options of a Dataflow job, from the fields of the job and the command line.

A flag of Beam always wins over a field of the job. Contradictions, and values that Dataflow would
refuse after the job's files are staged, are reported before anything starts.

Sources: `Job` and `Environment` of the Dataflow API, v1b3; Beam's options; the pages of
Dataflow's documentation on pipeline options, GPUs, right fitting and customer-managed keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from beam_batch_predict.messages import quoted, show_location
from beam_batch_predict.runners.dataflow import machines
from beam_batch_predict.runners.dataflow.labels import (
    check_labels,
    is_job_name,
    job_name,
    labels_in,
)
from beam_batch_predict.runners.dataflow.option_builder import OptionBuilder
from beam_batch_predict.runners.derived_options import DerivedOptions
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Resources

__all__ = ["dataflow_options", "is_emulator"]

_REGION = re.compile(r"[a-z]+(-[a-z]+)+[0-9]+")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/.+")
_GCS = re.compile(r"gs://[a-z0-9][-_a-z0-9.]+[a-z0-9]/[^\r\n]*")


def dataflow_options(
    resources: Resources,
    given: Mapping[str, Any],
    copies: ModelCopies = ModelCopies.AUTO,
    *,
    default_region: Callable[[], str | None] = lambda: None,
) -> DerivedOptions:
    """Derive the options of a Dataflow job.

    Args:
        resources: the requests of the job.
        given: the values of the given flags of Beam, by attribute of Beam's options.
        copies: the copies of the model.
        default_region: called if neither a flag nor the job names a region.

    Example:
        >>> from beam_batch_predict.spec.resources import Requested
        >>> machine = Requested("n1-standard-4", "dedicatedResources.machineSpec.machineType")
        >>> given = {"project": "p-1", "region": "us-east1", "temp_location": "gs://bucket/tmp"}
        >>> dataflow_options(Resources(machine_type=machine), given).options[-1]
        DerivedOption(name='machine_type', value='n1-standard-4', \
source='dedicatedResources.machineSpec.machineType')
        >>> dataflow_options(Resources(machine_type=machine), given | {"machine_type": "n2"}).notes
        ('--machine_type=n2 overrides dedicatedResources.machineSpec.machineType (n1-standard-4)',)
    """
    builder = OptionBuilder(resources, given, copies)
    _location(builder, default_region)
    _name(builder)
    machines.machines(builder)
    machines.workers(builder)
    machines.models(builder)
    _accounts(builder)
    _labels(builder)
    return DerivedOptions(tuple(builder.options), tuple(builder.notes), tuple(builder.wrong))


def _location(builder: OptionBuilder, default_region: Callable[[], str | None]) -> None:
    """Choose the project, the region, and the directories of staged files."""
    builder.use("project", builder.resources.project, note=False)
    _region(builder, default_region)
    values = builder.values
    if "project" not in values:
        message = "required: the id of the project in which the Dataflow job runs and is billed"
        builder.refuse("--project", message)
    elif str(values["project"]).isdigit():
        message = f"expected the id of a project, found the number {values['project']}"
        builder.refuse("--project", message)
    _directories(builder)
    zones = [name for name in ("worker_region", "worker_zone", "zone") if name in values]
    if len(zones) > 1:
        shown = " and ".join(map(builder.shown, zones))
        builder.refuse(shown, "only one can be set; leave out the other")


def _region(builder: OptionBuilder, default_region: Callable[[], str | None]) -> None:
    builder.use("region", builder.resources.region)
    if "region" not in builder.values:
        found = default_region()
        if found:
            builder.put("region", found, "the configuration of gcloud")
    region = builder.values.get("region")
    if region is None:
        message = "required: the region of the job, such as us-central1"
        builder.refuse("--region", message)
    elif not _REGION.fullmatch(region):
        message = f"expected a region such as us-central1, found {quoted(region)}; set --region"
        builder.refuse(builder.named("region"), message)


def _directories(builder: OptionBuilder) -> None:
    values = builder.values
    if "temp_location" not in values and "staging_location" in values:
        builder.put("temp_location", values["staging_location"], "--staging_location")
    if "temp_location" not in values:
        message = "required: a directory gs://bucket/… for files that Dataflow needs to run the job"
        builder.refuse("--temp_location", message)
    if is_emulator(values.get("dataflow_endpoint")):
        return
    for name in ("temp_location", "staging_location"):
        found = values.get(name)
        if found and name not in builder.origins and not _GCS.fullmatch(found):
            builder.refuse(f"--{name}", f"expected gs://bucket/directory, found {quoted(found)}")


def _name(builder: OptionBuilder) -> None:
    """Choose the name of the job."""
    found, wanted = builder.values.get("job_name"), builder.resources.job_name
    if found is None:
        if wanted:
            builder.put("job_name", job_name(wanted.value), wanted.field)
    elif not is_job_name(found):
        message = (
            "expected lowercase letters, digits and dashes, a letter first and no dash last; "
            f"found {quoted(found)}"
        )
        builder.refuse("--job_name", message)


def _accounts(builder: OptionBuilder) -> None:
    """Choose the account of the workers and the encryption key."""
    builder.use("service_account_email", builder.resources.service_account)
    builder.use("dataflow_kms_key", builder.resources.kms_key)
    key, region = builder.values.get("dataflow_kms_key"), builder.values.get("region")
    if key is None:
        return
    match = _KMS_KEY.fullmatch(key)
    if match is None:
        message = (
            f"expected projects/P/locations/L/keyRings/R/cryptoKeys/K, found {quoted(str(key))}"
        )
        builder.refuse(builder.named("dataflow_kms_key"), message)
    elif region and match["location"] != region:
        message = (
            f"the key is in {match['location']}, but the job runs in {builder.shown('region')}; "
            "Dataflow accepts only keys of the job's own region: name one with --dataflow_kms_key, "
            "or change the region"
        )
        builder.refuse(builder.shown("dataflow_kms_key"), message)


def _labels(builder: OptionBuilder) -> None:
    """Merge the labels of the job and those that flags give."""
    given: dict[str, str] = {}
    for text in builder.entries("labels"):
        try:
            given |= labels_in(text)
        except ValueError:
            message = f"expected KEY=VALUE or {{'KEY': 'VALUE', …}}, found {quoted(text)}"
            builder.refuse("--labels", message)
    for key, value in builder.resources.labels.items():
        if key not in given:
            builder.add("labels", f"{key}={value}", show_location(("labels", key)))
        elif given[key] != value:
            builder.notes.append(
                f"--labels={key}={given[key]} overrides {show_location(('labels', key))} ({value})"
            )
    builder.wrong += check_labels({**builder.resources.labels, **given}, given)


def is_emulator(endpoint: str | None) -> bool:
    """Whether an endpoint is an emulator, for which Beam does not check paths either."""
    return re.match(r"https?://localhost\b", endpoint or "") is not None
