"""From what a job asks for, and flags, to options of Dataflow; and what is refused."""

import dataclasses
import datetime
import re

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from beam_batch_predict.jobs.vertex.types import AcceleratorType
from beam_batch_predict.runners.dataflow.labels import MAX_JOB_NAME, is_job_name, job_name
from beam_batch_predict.runners.dataflow.machines import GPU_THREADS
from beam_batch_predict.runners.dataflow.options import dataflow_options
from beam_batch_predict.spec.options import ModelCopies
from beam_batch_predict.spec.resources import Requested, Resources

PLACE = {"project": "p-1", "region": "us-central1", "temp_location": "gs://bucket/tmp"}
KEY = "projects/p/locations/{}/keyRings/r/cryptoKeys/k"


def asking(**values):
    """Resources whose fields are called as they are."""
    labels = values.pop("labels", {})
    return Resources(**{k: Requested(v, f"job.{k}") for k, v in values.items()}, labels=labels)


def options(resources, copies=ModelCopies.AUTO, **given):
    """The options that follow, where nothing is wrong."""
    planned = dataflow_options(resources, PLACE | given, copies)
    assert planned.violations == ()
    return [(option.name, option.value) for option in planned.options]


def notes(resources, copies=ModelCopies.AUTO, **given):
    return dataflow_options(resources, PLACE | given, copies).notes


def wrong(resources, copies=ModelCopies.AUTO, **given):
    place = {k: v for k, v in (PLACE | given).items() if v is not None}
    return [str(found) for found in dataflow_options(resources, place, copies).violations]


def only(violations, *words):
    (found,) = violations
    for word in words:
        assert word in found
    return found


def test_each_value_is_an_option_that_names_its_field():
    planned = dataflow_options(asking(service_account="a@b"), PLACE)
    (option,) = planned.options
    assert option.flag == "--service_account_email=a@b"
    assert option.source == "job.service_account"


def test_nothing_follows_from_nothing():
    assert dataflow_options(Resources(), PLACE) == ((), (), ())


# Place


def test_all_missing_options_are_reported_at_once():
    planned = dataflow_options(Resources(), {})
    assert [found.path for found in planned.violations] == [
        "--region",
        "--project",
        "--temp_location",
    ]


def test_project_and_region_may_come_from_the_job():
    found = options(asking(project="p-2", region="us-east1"), project=None, region=None)
    assert found == [("project", "p-2"), ("region", "us-east1")]


def test_a_region_that_is_configured_is_the_last_to_be_taken():
    def planned(resources, given):
        return dataflow_options(resources, given, default_region=lambda: "us-west1").options

    place = {name: value for name, value in PLACE.items() if name != "region"}
    (option,) = planned(Resources(), place)
    assert (option.flag, option.source) == ("--region=us-west1", "the configuration of gcloud")
    (option,) = planned(asking(region="us-east1"), place)
    assert option.flag == "--region=us-east1"
    assert planned(Resources(), PLACE) == ()


@pytest.mark.parametrize("region", ["global", "US-CENTRAL1", "us-central1-a", "us", "", "x y"])
def test_what_is_no_region_is_refused(region):
    only(wrong(asking(region=region), region=None), "region", "such as us-central1")


def test_a_number_is_no_project_for_beam():
    only(wrong(Resources(), project="123"), "--project", "the id of a project", "123")


@pytest.mark.parametrize("directory", ["/tmp/x", "gs://bucket", "gs://B/x", "s3://bucket/x"])
def test_directories_are_on_cloud_storage(directory):
    only(wrong(Resources(), temp_location=directory), "--temp_location", directory)
    only(wrong(Resources(), staging_location=directory), "--staging_location", directory)
    endpoint = "http://localhost:1234"
    assert wrong(Resources(), temp_location=directory, dataflow_endpoint=endpoint) == []


def test_one_directory_for_staging_is_enough():
    found = options(Resources(), temp_location=None, staging_location="gs://bucket/s")
    assert found == [("temp_location", "gs://bucket/s")]


def test_one_location_of_workers_is_enough():
    found = wrong(Resources(), worker_region="us-east1", worker_zone="us-east1-b")
    only(found, "--worker_region=us-east1 and --worker_zone=us-east1-b", "only one")
    assert wrong(Resources(), worker_zone="us-east1-b") == []


# Names


@for_all(st.text(max_size=200))
def test_any_text_makes_a_name_that_dataflow_takes(text):
    name = job_name(text)
    assert is_job_name(name)
    assert len(name) <= MAX_JOB_NAME


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("penguins", "penguins-"),
        ("Penguins: spring/2024", "penguins-spring-2024-"),
        ("Ärger über Öl", "arger-uber-ol-"),
        ("🐧", "job-2026"),
        ("", "job-2026"),
        ("2024", "job-2024-2026"),
        ("-a-", "a-2026"),
        ("x" * 128, "x" * 42 + "-2026"),
        ("a" + "-b" * 60, "a" + "-b" * 20 + "-2026"),
    ],
)
def test_names(text, start):
    time = datetime.datetime(2026, 5, 1, 12, 30)
    assert job_name(text, time).startswith(start)


def test_two_jobs_of_a_name_have_two():
    assert len({job_name("a") for _ in range(20)}) > 1


@pytest.mark.parametrize("name", ["Penguins", "1a", "a-", "a_b", "a\n"])
def test_names_that_are_given_are_checked(name):
    only(wrong(asking(job_name="a"), job_name=name), "--job_name", "lowercase")


# Machines


def test_flags_win_over_fields_and_a_note_has_both_values():
    resources = asking(machine_type="n1-standard-4")
    assert options(resources, machine_type="n2-standard-2") == []
    assert notes(resources, machine_type="n2-standard-2") == (
        "--machine_type=n2-standard-2 overrides job.machine_type (n1-standard-4)",
    )
    assert notes(resources, machine_type="n1-standard-4") == ()


@pytest.mark.parametrize("kind", AcceleratorType.__members__)
def test_every_accelerator_of_vertex_ai_is_handed_on_or_refused(kind):
    resources = asking(accelerator_type=kind, accelerator_count=1)
    if not kind.startswith("NVIDIA"):
        only(wrong(resources), "job.accelerator_type", kind, "NVIDIA_TESLA_T4")
        return
    name = kind.lower().replace("_", "-")
    expected = f"worker_accelerator=type:{name};count:1;install-nvidia-driver"
    assert ("dataflow_service_options", expected) in options(resources)


def test_one_accelerator_if_no_number_is_given():
    (found, *_) = options(asking(accelerator_type="NVIDIA_L4"))
    assert found[1] == "worker_accelerator=type:nvidia-l4;count:1;install-nvidia-driver"


@pytest.mark.parametrize("count", [0, -1, 2**31])
def test_numbers_of_accelerators_that_cannot_be(count):
    resources = asking(accelerator_type="NVIDIA_L4", accelerator_count=count)
    only(wrong(resources), "job.accelerator_count", str(count))


def test_accelerators_of_no_type_are_refused():
    only(wrong(asking(accelerator_count=1)), "job.accelerator_count", "no type")
    assert wrong(asking(accelerator_count=0)) == []


@pytest.mark.parametrize("kind", ["nvidia-l4;count:100", "x", "TPU_V2", "nvidia-", "nvidia l4"])
def test_accelerators_that_any_text_names(kind):
    only(wrong(asking(accelerator_type=kind)), "job.accelerator_type", kind)


def test_prime_has_accelerators_as_hints_for_all_steps():
    resources = asking(accelerator_type="NVIDIA_L4", machine_type="g2-standard-4")
    found = options(resources, dataflow_service_options=["enable_prime"])
    hint = "accelerator=type:nvidia-l4;count:1;install-nvidia-driver"
    assert ("resource_hints", hint) in found
    assert not {"dataflow_service_options", "machine_type"} & dict(found).keys()
    (note, *_) = notes(resources, experiments=["enable_prime"])
    assert note == "job.machine_type: not used; Dataflow Prime chooses machines"


def test_prime_and_accelerators_of_the_other_kind_are_refused():
    both = ["enable_prime", "worker_accelerator=type:nvidia-l4;count:1"]
    found = wrong(Resources(), dataflow_service_options=both)
    only(found, both[1], "enable_prime", "--resource_hints")


@pytest.mark.parametrize("name", ["dataflow_service_options", "experiments", "resource_hints"])
def test_accelerators_of_flags_win(name):
    start = "accelerator=" if name == "resource_hints" else "worker_accelerator="
    given = {name: [f"{start}type:nvidia-l4;count:1;install-nvidia-driver"]}
    resources = asking(accelerator_type="TPU_V3", accelerator_count=8)
    assert (
        not {"dataflow_service_options", "resource_hints"}
        & dict(options(resources, **given)).keys()
    )
    resources = asking(accelerator_type="NVIDIA_TESLA_T4")
    (note, *_) = notes(resources, **given)
    assert note.startswith(f"--{name}={start}type:nvidia-l4;count:1")
    assert note.endswith(
        "overrides job.accelerator_type (type:nvidia-tesla-t4;count:1;install-nvidia-driver)"
    )


def test_parts_of_a_machine_that_dataflow_does_not_have_are_reported():
    resources = dataclasses.replace(Resources(), unused=("a.tpuTopology",))
    assert notes(resources) == ("a.tpuTopology: not used on Dataflow",)


# Workers


@pytest.mark.parametrize(
    ("start", "most", "expected"),
    [
        (2, 2, ["2", "2", "NONE"]),
        (2, 5, ["2", "5", "THROUGHPUT_BASED"]),
        (None, 5, [None, "5", "THROUGHPUT_BASED"]),
        (2, None, ["2", None, None]),
        (None, None, [None, None, None]),
    ],
)
def test_workers(start, most, expected):
    counts = {"workers_at_start": start, "workers_at_most": most}
    found = dict(options(asking(**{k: v for k, v in counts.items() if v is not None})))
    names = ("num_workers", "max_num_workers", "autoscaling_algorithm")
    assert [found.get(name) for name in names] == expected


def test_the_default_of_the_most_workers_gives_way():
    ten = dataclasses.replace(Resources(), default_workers_at_most=Requested(10, "the default"))
    assert dict(options(ten))["max_num_workers"] == "10"
    assert dict(options(ten, num_workers=20))["max_num_workers"] == "20"
    assert options(ten, max_num_workers=3) == []
    assert options(ten, autoscaling_algorithm="NONE", num_workers=4) == []
    more = dataclasses.replace(ten, workers_at_start=Requested(30, "start"))
    assert dict(options(more)) == {
        "num_workers": "30",
        "max_num_workers": "30",
        "autoscaling_algorithm": "NONE",
    }


def test_flags_alone_leave_autoscaling_to_the_user():
    assert options(Resources(), num_workers=2, max_num_workers=2) == []
    assert options(asking(workers_at_most=9), autoscaling_algorithm="THROUGHPUT_BASED") == [
        ("max_num_workers", "9")
    ]


def test_more_workers_at_the_start_than_at_most_are_refused_with_both_named():
    only(
        wrong(asking(workers_at_most=5), num_workers=20),
        "--num_workers=20",
        "job.workers_at_most (5)",
        "change one",
    )
    only(
        wrong(asking(workers_at_start=20), max_num_workers=5),
        "job.workers_at_start (20)",
        "--max_num_workers=5",
    )
    only(wrong(Resources(), num_workers=2, max_num_workers=1), "--num_workers=2")


@pytest.mark.parametrize("count", [0, -1, 2**31])
def test_numbers_of_workers_that_cannot_be(count):
    only(wrong(asking(workers_at_most=count)), "job.workers_at_most", str(count))
    assert "--num_workers" in wrong(asking(workers_at_start=3), num_workers=count)[0]


def test_without_autoscaling_there_is_one_number_of_workers():
    fixed = {"autoscaling_algorithm": "NONE"}
    found = wrong(asking(workers_at_start=2, workers_at_most=5), **fixed)
    only(found, "autoscaling_algorithm=NONE", "workers_at_start (2)", "workers_at_most (5)")
    only(wrong(asking(workers_at_most=5), **fixed), "needs --num_workers", "workers_at_most (5)")
    assert wrong(asking(workers_at_start=5), max_num_workers=5, **fixed) == []
    assert wrong(Resources(), num_workers=5, **fixed) == []


# Accounts and keys


def test_a_key_is_in_the_region_of_the_job():
    assert options(asking(kms_key=KEY.format("us-central1"))) == [
        ("dataflow_kms_key", KEY.format("us-central1"))
    ]
    for location in ("europe-west1", "global", "us"):
        found = wrong(asking(kms_key=KEY.format(location)))
        only(found, f"job.kms_key ({KEY.format(location)})", "--region=us-central1", location)
    found = wrong(asking(region="us-east1"), region=None, dataflow_kms_key=KEY.format("us"))
    only(found, "--dataflow_kms_key=projects/p", "job.region (us-east1)")


@pytest.mark.parametrize("key", ["k", "projects/p/locations/us-central1/keyRings/r", "a/b/c"])
def test_what_is_no_key_is_refused(key):
    only(wrong(asking(kms_key=key)), "job.kms_key", key, "cryptoKeys/K")


def test_an_account_to_start_with_and_one_to_work_with_are_no_contradiction():
    found = options(asking(service_account="a@b"), impersonate_service_account="c@d")
    assert found == [("service_account_email", "a@b")]


# Labels


def test_labels_are_merged_and_flags_win_key_by_key():
    resources = asking(labels={"a": "1", "b": "2", "c": ""})
    given = {"labels": ["a=x", '{"d": "4", "e": ""}', "f"]}
    assert options(resources, **given) == [("labels", "b=2"), ("labels", "c=")]
    assert notes(resources, **given) == ("--labels=a=x overrides labels.a (1)",)


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        ({"Team": "a"}, "labels.Team"),
        ({"team": "A"}, "labels.team"),
        ({"1st": "a"}, 'labels["1st"]'),
        ({"a" * 64: "a"}, "labels.aaa"),
        ({"a": "b" * 64}, "labels.a"),
        ({"ж" * 63: "ж" * 63, "b": "漢" * 50}, "labels.b"),
        ({f"k{n}": "" for n in range(65)}, "labels: "),
    ],
)
def test_labels_that_dataflow_does_not_take(labels, path):
    assert path in only(wrong(asking(labels=labels)))


def test_labels_of_flags_are_checked_too():
    only(wrong(Resources(), labels=["Team=a"]), "--labels.Team", "'T'")
    for text in ("{", "{'a'}", "{'a': 1}", "{" * 5000):
        only(wrong(Resources(), labels=[text]), "--labels: expected KEY=VALUE")


# Models

ONE = ("experiments", "no_use_multiple_sdk_containers")


def test_copies_of_the_model():
    assert options(Resources(), ModelCopies.PROCESS) == []
    assert options(Resources(), ModelCopies.MACHINE) == [ONE]
    assert options(Resources(), ModelCopies.MACHINE, experiments=[ONE[1]]) == []


def test_with_gpus_there_is_one_copy_and_few_calls_at_once():
    found = options(asking(accelerator_type="NVIDIA_L4"))
    assert found[1:] == [ONE, ("number_of_worker_harness_threads", str(GPU_THREADS))]
    given = {"dataflow_service_options": ["worker_accelerator=type:nvidia-l4;count:1"]}
    assert options(Resources(), **given) == found[1:]
    given["number_of_worker_harness_threads"] = 7
    assert options(Resources(), **given) == [ONE]
    assert options(Resources(), ModelCopies.PROCESS, **given) == []
    assert options(Resources(), experiments=["use_multiple_sdk_containers"], **given) == []


def test_gpus_want_an_image():
    resources = asking(accelerator_type="NVIDIA_L4")
    assert any("--sdk_container_image" in note for note in notes(resources))
    assert notes(resources, sdk_container_image="image") == ()
    assert notes(resources, worker_harness_container_image="image") == ()
    (note,) = notes(resources, ModelCopies.PROCESS, sdk_container_image="image")
    assert note.startswith("--model_copies=process: each process")


@pytest.mark.parametrize(
    ("copies", "experiment"),
    [
        (ModelCopies.MACHINE, "use_multiple_sdk_containers"),
        (ModelCopies.PROCESS, "no_use_multiple_sdk_containers"),
    ],
)
def test_copies_that_an_experiment_contradicts(copies, experiment):
    found = wrong(Resources(), copies, experiments=[experiment])
    only(found, f"--experiments={experiment}", f"--model_copies={copies.value}", "leave out one")


def test_messages_are_whole_sentences_on_one_line():
    everything = asking(
        job_name="a",
        region="global",
        machine_type="m",
        accelerator_type="TPU_V2",
        workers_at_start=9,
        workers_at_most=2,
        kms_key="x",
        labels={"A": "B"},
    )
    found = wrong(everything, project=None, region=None, temp_location=None, job_name="A")
    assert len(found) > 7
    assert not any("\n" in text or re.search(r"\{|\bNone\b", text) for text in found)
