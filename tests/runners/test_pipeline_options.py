"""Runners by name, and Beam's options."""

import os

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, SetupOptions
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.portable_runner import JobServiceHandle, PortableRunner

from beam_batch_predict.errors import BatchPredictError, InvalidArgument
from beam_batch_predict.runners.create import make_runner
from beam_batch_predict.runners.local import LocalRunner
from beam_batch_predict.runners.pipeline_options import (
    is_local,
    make_options,
    runs_here,
    takes_value,
    waits_for_service,
)
from beam_batch_predict.transforms.work_prefix import work_prefix


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--runner=local"],
        ["--runner=DirectRunner"],
        ["--runner", "directrunner"],
        ["--runner=FnApiRunner"],
        ["--runner=direct"],
        ["--runner=SwitchingDirectRunner"],
        ["--runner=apache_beam.runners.direct.direct_runner.DirectRunner"],
    ],
)
def test_local_means_the_runner_in_this_process(flags):
    options = make_options(flags)
    assert is_local(options)
    assert not waits_for_service(options)
    assert type(make_runner(options)) is LocalRunner


def test_workers_of_the_local_runner_get_the_options():
    options = make_options(["--project=some-project", "--job_name=a"])
    info = make_runner(options)._provision_info.provision_info
    expected = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    assert info.pipeline_options == expected
    assert "some-project" in str(info.pipeline_options)


def test_other_runners_are_those_of_beam():
    dataflow = make_options(["--runner=DataflowRunner", "--project=p"])
    assert waits_for_service(dataflow)
    assert not is_local(dataflow)
    assert isinstance(make_runner(dataflow), DataflowRunner)
    portable = make_options(["--runner=PortableRunner", "--job_endpoint=embed"])
    assert isinstance(make_runner(portable), PortableRunner)


def test_options_have_their_values():
    options = make_options(["--direct_num_workers=3", "--temp_location=gs://bucket/tmp"])
    assert options.view_as(DirectOptions).direct_num_workers == 3
    assert options.view_as(GoogleCloudOptions).temp_location == "gs://bucket/tmp"


@pytest.mark.parametrize(
    ("flags", "mode"),
    [
        ([], "in_memory"),
        (["--direct_num_workers=1"], "in_memory"),
        (["--direct_num_workers=2"], "multi_processing"),
        (["--direct_num_workers", "0", "--runner=DirectRunner"], "multi_processing"),
        (["--direct_num_workers=2", "--direct_running_mode=in_memory"], "in_memory"),
        (["--direct_running_mode", "multi_threading", "--direct_num_workers=2"], "multi_threading"),
        (["--direct_num_workers=1", "--direct_running_mode=multi_processing"], "multi_processing"),
        (["--direct_num_workers=2", "--runner=DataflowRunner"], "in_memory"),
    ],
)
def test_several_local_workers_are_processes_unless_a_mode_is_named(flags, mode):
    assert make_options(flags).view_as(DirectOptions).direct_running_mode == mode


def test_each_of_several_workers_is_a_process(tmp_path):
    options = make_options(["--direct_num_workers=2"])
    options.view_as(SetupOptions).save_main_session = False
    directory = str(tmp_path)
    with beam.Pipeline(runner=make_runner(options), options=options) as pipeline:
        _ = (
            pipeline
            | beam.Create(range(100))
            | beam.Reshuffle()
            | beam.Map(lambda _: open(os.path.join(directory, str(os.getpid())), "w").close())
        )
    processes = set(os.listdir(directory))
    assert len(processes) == 2
    assert str(os.getpid()) not in processes


def test_a_worker_process_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr("beam_batch_predict.runners.local._COMMAND", ["false"])
    options = make_options(["--direct_num_workers=2"])
    with (
        pytest.raises(BatchPredictError, match="a worker process ended: exit code 1"),
        beam.Pipeline(runner=make_runner(options), options=options) as pipeline,
    ):
        _ = pipeline | beam.Create([1])


@pytest.mark.parametrize(
    ("flags", "here"),
    [
        ([], True),
        (["--runner=DataflowRunner"], False),
        (["--runner=PortableRunner", "--job_endpoint=host:8099"], False),
        (["--runner=PortableRunner", "--job_endpoint=embed"], True),
        (["--runner=PortableRunner", "--job_endpoint=h:1", "--environment_type=LOOPBACK"], True),
        (["--runner=FlinkRunner"], True),
        (["--runner=Flink", "--environment_type=DOCKER"], True),
        (["--runner=FlinkRunner", "--job_endpoint=h:1"], True),
        (["--runner=FlinkRunner", "--job_endpoint=h:1", "--environment_type=EXTERNAL"], False),
        (["--runner=FlinkRunner", "--flink_master=host:8081"], False),
        (["--runner=SparkRunner"], True),
        (["--runner=SparkRunner", "--spark_master_url=spark://host:7077"], False),
        (["--runner=PrismRunner"], True),
        (["--runner=PrismRunner", "--environment_type=EXTERNAL"], True),
        (["--runner=PrismRunner", "--job_endpoint=h:1", "--environment_type=EXTERNAL"], False),
    ],
)
def test_work_that_ends_with_this_process(flags, here):
    assert runs_here(make_options(flags)) == here


def test_flags_of_beam_that_take_a_value():
    assert all(map(takes_value, ["--runner", "--experiments", "--direct_num_workers"]))
    assert not any(map(takes_value, ["--streaming", "--no_auth", "--unknown", "JOB.json"]))


@pytest.mark.parametrize(
    ("flag", "near"),
    [
        ("--direct_num_worker=2", "--direct_num_workers"),
        ("--temp_locatoin=x", "--temp_location"),
        ("--chunk_byte=7", "--chunk_bytes"),
        ("--signature-name=x", "--signature_name"),
    ],
)
@pytest.mark.parametrize("runner", ["local", "DataflowRunner"])
def test_a_misspelt_option_is_refused_with_the_nearest(flag, near, runner):
    with pytest.raises(InvalidArgument, match=f"did you mean {near}") as caught:
        make_options([f"--runner={runner}", flag], ["--chunk_bytes", "--signature_name"])
    assert caught.value.message == f"unknown option {flag.partition('=')[0]}"


def test_a_stray_argument_and_a_strange_option_are_refused():
    with pytest.raises(InvalidArgument, match="unknown argument other.json"):
        make_options(["other.json"])
    with pytest.raises(InvalidArgument, match="unknown option --zzzzzzzz$"):
        make_options(["--zzzzzzzz"])


def test_a_value_that_an_option_cannot_have_is_refused():
    with pytest.raises(InvalidArgument, match="direct_num_workers"):
        make_options(["--direct_num_workers=many"])


def test_a_runner_goes_by_the_names_that_beam_takes():
    assert waits_for_service(make_options(["--runner=dataflow"]))
    assert isinstance(make_runner(make_options(["--runner=flink"])), FlinkRunner)


@pytest.mark.parametrize(
    ("runner", "hint"),
    [("PrizmRunner", "did you mean PrismRunner"), ("zzzz", "local"), ("DataflowRunner2", "did")],
)
def test_a_runner_that_there_is_not_is_refused(runner, hint):
    with pytest.raises(InvalidArgument, match=f"--runner={runner}: there is no such runner") as e:
        make_options([f"--runner={runner}"])
    assert hint in e.value.hint


@pytest.mark.parametrize("runner", ["apache_beam.runners.dask.dask_runner.DaskRunner", "dask"])
def test_a_runner_that_loses_rows_is_refused(runner):
    with pytest.raises(InvalidArgument, match="rows would be missing"):
        make_options([f"--runner={runner}"])


def test_a_runner_behind_a_job_server_may_have_options_of_its_own():
    make_options(["--runner=PortableRunner", "--job_endpoint=embed", "--flink_something=1"])


def test_parts_of_tables_are_below_the_temporary_location():
    assert work_prefix(make_options(["--temp_location=gs://b/tmp"])) == "gs://b/tmp"


def test_a_local_run_needs_no_temporary_location():
    first, second = work_prefix(make_options([])), work_prefix(make_options([]))
    assert first != second
    assert not os.path.exists(first)
    assert work_prefix(make_options(["--runner=FlinkRunner"]), make_runner(make_options([])))


@pytest.mark.parametrize("flags", [["--runner=DataflowRunner"], ["--runner=PortableRunner"]])
def test_workers_elsewhere_need_a_temporary_location(flags):
    with pytest.raises(InvalidArgument, match="set --temp_location"):
        work_prefix(make_options(flags))
