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

__all__ = ["dataflow_options", "is_stand_in"]

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
        resources: what the job asks for.
        given: values of the flags of Beam that were given, by attribute of Beam's options.
        copies: of the model.
        default_region: called where neither a flag nor the job names a region.

    Example:
        >>> from beam_batch_predict.spec.resources import Requested
        >>> machine = Requested("n1-standard-4", "dedicatedResources.machineSpec.machineType")
        >>> given = {"project": "p-1", "region": "us-east1", "temp_location": "gs://bucket/tmp"}
        >>> dataflow_options(Resources(machine_type=machine), given).options[-1]
        PlannedOption(name='machine_type', value='n1-standard-4', \
source='dedicatedResources.machineSpec.machineType')
        >>> dataflow_options(Resources(machine_type=machine), given | {"machine_type": "n2"}).notes
        ('--machine_type=n2 overrides dedicatedResources.machineSpec.machineType (n1-standard-4)',)
    """
    plan = OptionBuilder(resources, given, copies)
    _location(plan, default_region)
    _name(plan)
    machines.machines(plan)
    machines.workers(plan)
    machines.models(plan)
    _accounts(plan)
    _labels(plan)
    return DerivedOptions(tuple(plan.options), tuple(plan.notes), tuple(plan.wrong))


def _location(plan: OptionBuilder, default_region: Callable[[], str | None]) -> None:
    """Choose the project, the region, and where files are staged."""
    plan.take("project", plan.resources.project, tell=False)
    _region(plan, default_region)
    values = plan.values
    if "project" not in values:
        message = "required: the id of the project that the job of Dataflow is in, and is paid by"
        plan.refuse("--project", message)
    elif str(values["project"]).isdigit():
        message = f"expected the id of a project, found the number {values['project']}"
        plan.refuse("--project", message)
    _directories(plan)
    zones = [name for name in ("worker_region", "worker_zone", "zone") if name in values]
    if len(zones) > 1:
        shown = " and ".join(map(plan.shown, zones))
        plan.refuse(shown, "only one can be set; leave out the other")


def _region(plan: OptionBuilder, default_region: Callable[[], str | None]) -> None:
    plan.take("region", plan.resources.region)
    if "region" not in plan.values:
        found = default_region()
        if found:
            plan.put("region", found, "the configuration of gcloud")
    region = plan.values.get("region")
    if region is None:
        message = "required: where the job is to run, such as us-central1"
        plan.refuse("--region", message)
    elif not _REGION.fullmatch(region):
        message = f"expected a region such as us-central1, found {quoted(region)}; set --region"
        plan.refuse(plan.named("region"), message)


def _directories(plan: OptionBuilder) -> None:
    values = plan.values
    if "temp_location" not in values and "staging_location" in values:
        plan.put("temp_location", values["staging_location"], "--staging_location")
    if "temp_location" not in values:
        message = "required: a directory gs://bucket/… for what Dataflow needs to run the job"
        plan.refuse("--temp_location", message)
    if is_stand_in(values.get("dataflow_endpoint")):
        return
    for name in ("temp_location", "staging_location"):
        found = values.get(name)
        if found and name not in plan.origins and not _GCS.fullmatch(found):
            plan.refuse(f"--{name}", f"expected gs://bucket/directory, found {quoted(found)}")


def _name(plan: OptionBuilder) -> None:
    """Choose the name of the job."""
    found, wanted = plan.values.get("job_name"), plan.resources.job_name
    if found is None:
        if wanted:
            plan.put("job_name", job_name(wanted.value), wanted.field)
    elif not is_job_name(found):
        message = (
            "expected lowercase letters, digits and dashes, a letter first and no dash last; "
            f"found {quoted(found)}"
        )
        plan.refuse("--job_name", message)


def _accounts(plan: OptionBuilder) -> None:
    """Choose the account of the workers and the encryption key."""
    plan.take("service_account_email", plan.resources.service_account)
    plan.take("dataflow_kms_key", plan.resources.kms_key)
    key, region = plan.values.get("dataflow_kms_key"), plan.values.get("region")
    if key is None:
        return
    match = _KMS_KEY.fullmatch(key)
    if match is None:
        message = (
            f"expected projects/P/locations/L/keyRings/R/cryptoKeys/K, found {quoted(str(key))}"
        )
        plan.refuse(plan.named("dataflow_kms_key"), message)
    elif region and match["location"] != region:
        message = (
            f"the key is in {match['location']}, but the job runs in {plan.shown('region')}; "
            "Dataflow accepts only keys of the job's own region: name one with --dataflow_kms_key, "
            "or change the region"
        )
        plan.refuse(plan.shown("dataflow_kms_key"), message)


def _labels(plan: OptionBuilder) -> None:
    """Merge the labels of the job and those that flags give."""
    given: dict[str, str] = {}
    for text in plan.entries("labels"):
        try:
            given |= labels_in(text)
        except ValueError:
            message = f"expected KEY=VALUE or {{'KEY': 'VALUE', …}}, found {quoted(text)}"
            plan.refuse("--labels", message)
    for key, value in plan.resources.labels.items():
        if key not in given:
            plan.add("labels", f"{key}={value}", show_location(("labels", key)))
        elif given[key] != value:
            plan.notes.append(
                f"--labels={key}={given[key]} overrides {show_location(('labels', key))} ({value})"
            )
    plan.wrong += check_labels({**plan.resources.labels, **given}, given)


def is_stand_in(endpoint: str | None) -> bool:
    """Whether an endpoint is a stand-in for the service: Beam checks no locations for it either."""
    return re.match(r"https?://localhost\b", endpoint or "") is not None
