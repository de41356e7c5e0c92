"""All that a runner gets: flags in any spelling, and what follows from the job beside them."""

import pytest
from apache_beam.options.pipeline_options import (
    DebugOptions,
    DirectOptions,
    GoogleCloudOptions,
    PortableOptions,
    WorkerOptions,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.job_options import runner_options
from beam_batch_predict.runners.pipeline_options import flags_given
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Requested, Resources, requested

DATAFLOW = [
    "--runner=DataflowRunner",
    "--project=p-1",
    "--region=us-central1",
    "--temp_location=gs://bucket/tmp",
]
MACHINE = Requested("n1-standard-4", "dedicatedResources.machineSpec.machineType")
RESOURCES = Resources(machine_type=MACHINE, labels={"team": "birds", "stage": "test"})


def refusal(*flags, resources=RESOURCES, copies=ModelCopies.AUTO):
    with pytest.raises(InvalidArgument) as caught:
        runner_options(resources, flags, copies)
    return str(caught.value)


def made(*flags, resources=RESOURCES, copies=ModelCopies.AUTO):
    """Beam's options in the end."""
    return runner_options(resources, flags, copies).engine().options


@pytest.mark.parametrize(
    "flags",
    [
        ["--machine_type=n2-standard-8"],
        ["--machine_type", "n2-standard-8"],
        ["--worker_machine_type=n2-standard-8"],
        ["--worker_machine_type", "n2-standard-8"],
        ["--machine_type=x", "--worker_machine_type=n2-standard-8"],  # the last one counts
    ],
)
def test_any_spelling_of_a_flag_wins_over_the_field(flags):
    planned = runner_options(RESOURCES, [*DATAFLOW, *flags])
    assert "--machine_type=n2-standard-8 overrides" in planned.notes[0]
    assert not any(option.name == "machine_type" for option in planned.derived)
    options = made(*DATAFLOW, *flags).view_as(WorkerOptions)
    assert options.machine_type == "n2-standard-8"


@pytest.mark.parametrize(
    "flags",
    [
        ["--labels=team=fish"],
        ["--label", "team=fish"],
        ["--labels", '{"team": "fish"}'],
        ["--labels=team=seals", "--label=team=fish"],
    ],
)
def test_any_spelling_of_a_label_wins_over_its_key(flags):
    planned = runner_options(RESOURCES, [*DATAFLOW, *flags])
    assert planned.notes == ("--labels=team=fish overrides labels.team (birds)",)
    assert [option.value for option in planned.derived if option.name == "labels"] == ["stage=test"]


def test_a_flag_without_a_value_is_none():
    options = made(*DATAFLOW, "--machine_type=", "--job_name=")
    assert options.view_as(WorkerOptions).machine_type == "n1-standard-4"


def test_lists_grow():
    options = made(*DATAFLOW, "--experiments=a,b", "--experiment=c", copies=ModelCopies.MACHINE)
    assert options.view_as(DebugOptions).experiments == [
        *("a", "b", "c"),
        "no_use_multiple_sdk_containers",
    ]


def test_options_by_the_names_of_attributes():
    flags = ["--no_use_public_ips", "--max_num_workers", "3", "--runner=my.X", "--unknown", "x"]
    assert flags_given(flags) == {"use_public_ips": False, "max_num_workers": 3, "runner": "my.X"}
    assert flags_given([]) == {}


def test_all_mistakes_of_options_are_reported_at_once():
    text = refusal("--runner=DataflowRunner", "--num_workers=3", "--max_num_workers=2")
    for start in ("--project: required", "--region: required", "--temp_location: required"):
        assert f"\n  {start}" in text
    assert "--num_workers=3" in text
    assert "--max_num_workers=2" in text


@pytest.mark.parametrize("flag", ["--num_workers=x", "--autoscaling_algorithm=SOME", "--regio=x"])
def test_flags_that_beam_does_not_take_are_refused(flag):
    assert flag.split("=")[0] in refusal(*DATAFLOW, flag)


def test_only_dataflow_gets_what_the_job_asks_for():
    assert runner_options(RESOURCES, []) == ((), (), ())
    for runner in ("FlinkRunner", "PortableRunner", "local"):
        assert runner_options(RESOURCES, [f"--runner={runner}"]).derived == ()


def test_the_region_of_gclouds_configuration(monkeypatch):
    monkeypatch.setenv("CLOUDSDK_COMPUTE_REGION", "us-west1")
    flags = [flag for flag in DATAFLOW if "region" not in flag]
    assert made(*flags).view_as(GoogleCloudOptions).region == "us-west1"
    assert made(*DATAFLOW).view_as(GoogleCloudOptions).region == "us-central1"


@pytest.fixture(autouse=True)
def _no_region(monkeypatch):
    monkeypatch.delenv("CLOUDSDK_COMPUTE_REGION", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")  # of gcloud, which would be requested


TEXTS = st.one_of(
    st.text(max_size=40), st.from_regex(r"[a-z][-a-z0-9_={}' ]{0,20}", fullmatch=True)
)


def asking(values, field):
    return st.none() | values.map(lambda value: requested(value, field))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    machine=asking(TEXTS, "machine"),
    account=asking(TEXTS, "account"),
    name=asking(TEXTS, "name"),
    accelerator=asking(TEXTS | st.sampled_from(["NVIDIA_L4", "TPU_V2"]), "accelerator"),
    most=asking(st.integers(-1, 2**40), "most"),
    labels=st.dictionaries(TEXTS, TEXTS, max_size=3),
)
def test_whatever_a_job_says_arrives_as_it_is_or_is_refused(
    machine, account, name, accelerator, most, labels
):
    resources = Resources(
        job_name=name,
        machine_type=machine,
        service_account=account,
        accelerator_type=accelerator,
        workers_at_most=most,
        labels=labels,
    )
    try:
        planned = runner_options(resources, DATAFLOW)
    except InvalidArgument:
        return
    found = flags_given(planned.flags)
    for option, value in (("machine_type", machine), ("service_account_email", account)):
        assert found.get(option) == (value and value.value)
    assert found.get("max_num_workers") == (most and most.value)
    assert sorted(found.get("labels", [])) == sorted(f"{k}={v}" for k, v in labels.items())
    for entry in found.get("dataflow_service_options", []):
        assert entry == "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    assert "\n" not in found.get("job_name", "")


# How many copies of a model there are


@pytest.mark.parametrize(
    ("flags", "copies", "mode"),
    [
        ([], ModelCopies.MACHINE, "in_memory"),
        (["--direct_num_workers=2"], ModelCopies.AUTO, "multi_processing"),
        (["--direct_num_workers=2"], ModelCopies.PROCESS, "multi_processing"),
        (["--direct_num_workers=2"], ModelCopies.MACHINE, "multi_threading"),
        (["--direct_num_workers=0"], ModelCopies.MACHINE, "multi_threading"),
        (
            ["--direct_num_workers=2", "--direct_running_mode=in_memory"],
            ModelCopies.MACHINE,
            "in_memory",
        ),
    ],
)
def test_local_workers_are_processes_or_threads(flags, copies, mode):
    assert made(*flags, copies=copies).view_as(DirectOptions).direct_running_mode == mode


def test_fewer_than_no_local_workers_are_refused():
    text = refusal("--direct_num_workers=-1")
    assert "--direct_num_workers: expected a number from 0, found -1" in text


def test_requested_local_processes_contradict_one_copy():
    flags = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
    text = refusal(*flags, copies=ModelCopies.MACHINE)
    assert "--direct_running_mode=multi_processing" in text
    assert "--model_copies=machine" in text


@pytest.mark.parametrize("runner", ["PortableRunner", "FlinkRunner", "SparkRunner"])
def test_portable_runners_have_one_process_per_worker(runner):
    flags = [f"--runner={runner}"]
    (option,) = runner_options(RESOURCES, flags, ModelCopies.MACHINE).derived
    assert option.flag == "--sdk_worker_parallelism=1"
    assert runner_options(RESOURCES, flags, ModelCopies.PROCESS).derived == ()
    flags.append("--sdk_worker_parallelism=1")
    assert runner_options(RESOURCES, flags, ModelCopies.MACHINE).derived == ()
    options = made(*flags, copies=ModelCopies.MACHINE).view_as(PortableOptions)
    assert str(options.sdk_worker_parallelism) == "1"


@pytest.mark.parametrize("number", ["0", "4"])
def test_several_requested_processes_contradict_one_copy(number):
    flags = ["--runner=FlinkRunner", f"--sdk_worker_parallelism={number}"]
    text = refusal(*flags, copies=ModelCopies.MACHINE)
    assert f"--sdk_worker_parallelism={number}" in text
    assert "--model_copies=machine" in text


# What people see


def test_each_option_is_reported_with_its_source():
    flags = [*DATAFLOW, "--experiments", "a", "--no_use_public_ips"]
    lines = [line.split("  ", 1) for line in runner_options(RESOURCES, flags).lines()]
    told = {flag.strip(): source.strip() for flag, source in lines}
    assert told == {
        **dict.fromkeys([*DATAFLOW, "--experiments a", "--no_use_public_ips"], "given"),
        "--machine_type=n1-standard-4": "from dedicatedResources.machineSpec.machineType",
        "--labels=team=birds": "from labels.team",
        "--labels=stage=test": "from labels.stage",
    }
