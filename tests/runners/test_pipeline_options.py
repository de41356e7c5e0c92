"""Engines by the flags that name them, and what each says of its workers."""

import os
import time

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions, GoogleCloudOptions, SetupOptions
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.flink_runner import FlinkRunner
from apache_beam.runners.portability.portable_runner import JobServiceHandle, PortableRunner

from beam_batch_predict.errors import BatchPredictError, InvalidArgument
from beam_batch_predict.runners.job_options import make_engine, runner_options
from beam_batch_predict.runners.local import LocalRunner
from beam_batch_predict.runners.pipeline_options import flags_given, takes_value
from beam_batch_predict.spec.resources import Resources
from beam_batch_predict.transforms.work_prefix import work_prefix, work_prefix_of


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
    engine = make_engine(flags)
    assert engine.is_local
    assert type(engine.make_runner()) is LocalRunner


def test_workers_of_the_local_runner_get_the_options():
    engine = make_engine(["--project=some-project", "--job_name=a"])
    info = engine.make_runner()._provision_info.provision_info
    expected = JobServiceHandle.encode_pipeline_options(engine.options.get_all_options())
    assert info.pipeline_options == expected
    assert "some-project" in str(info.pipeline_options)


def test_other_runners_are_those_of_beam():
    dataflow = make_engine(["--runner=DataflowRunner", "--project=p"])
    assert dataflow.project == "p"
    assert not dataflow.is_local
    assert isinstance(dataflow.make_runner(), DataflowRunner)
    portable = make_engine(["--runner=PortableRunner", "--job_endpoint=embed"])
    assert isinstance(portable.make_runner(), PortableRunner)


def test_options_have_their_values():
    options = make_engine(["--direct_num_workers=3", "--temp_location=gs://bucket/tmp"]).options
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
        (["--direct_num_workers=2", "--runner=FlinkRunner"], "in_memory"),
    ],
)
def test_several_local_workers_are_processes_unless_a_mode_is_named(flags, mode):
    engine = runner_options(Resources(), flags).engine()
    assert engine.options.view_as(DirectOptions).direct_running_mode == mode
    if engine.is_local:
        assert engine.workers_in_process is (mode != "multi_processing")


@pytest.mark.parametrize(
    ("workers", "chunks", "started"),
    [(8, 3, 3), (2, 3, 2), (8, 1, 1), (8, 0, 1), (1, 5, 1), (0, 1, 1), (0, 999, os.cpu_count())],
)
def test_there_are_never_more_local_workers_than_chunks(workers, chunks, started):
    engine = runner_options(Resources(), [f"--direct_num_workers={workers}"]).engine()
    engine.limit_workers(chunks, 0)
    assert engine.options.view_as(DirectOptions).direct_num_workers == started


def test_each_of_several_workers_is_a_process(tmp_path):
    engine = runner_options(Resources(), ["--direct_num_workers=2"]).engine()
    assert not engine.options.view_as(SetupOptions).save_main_session
    directory = str(tmp_path)

    def meet(_):
        """Wait for the other worker, so that neither does the work alone."""
        open(os.path.join(directory, str(os.getpid())), "w").close()
        until = time.monotonic() + 120
        while len(os.listdir(directory)) < 2 and time.monotonic() < until:
            time.sleep(0.01)

    with engine.make_pipeline() as pipeline:
        _ = pipeline | beam.Create(range(100)) | beam.Reshuffle() | beam.Map(meet)
    processes = set(os.listdir(directory))
    assert len(processes) == 2
    assert str(os.getpid()) not in processes


def test_a_worker_process_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr("beam_batch_predict.runners.worker_processes.COMMAND", ["false"])
    engine = runner_options(Resources(), ["--direct_num_workers=2"]).engine()
    with (
        pytest.raises(BatchPredictError, match="a worker process ended: exit code 1"),
        engine.make_pipeline() as pipeline,
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
    assert make_engine(flags).runs_here == here


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
        flags_given([f"--runner={runner}", flag], ["--chunk_bytes", "--signature_name"])
    assert caught.value.message == f"unknown option {flag.partition('=')[0]}"


def test_a_stray_argument_and_a_strange_option_are_refused():
    with pytest.raises(InvalidArgument, match="unknown argument other.json"):
        flags_given(["other.json"])
    with pytest.raises(InvalidArgument, match="unknown option --zzzzzzzz$"):
        flags_given(["--zzzzzzzz"])


def test_a_value_that_an_option_cannot_have_is_refused():
    with pytest.raises(InvalidArgument, match="direct_num_workers"):
        flags_given(["--direct_num_workers=many"])


def test_a_runner_goes_by_the_names_that_beam_takes():
    assert isinstance(make_engine(["--runner=dataflow"]).make_runner(), DataflowRunner)
    assert isinstance(make_engine(["--runner=flink"]).make_runner(), FlinkRunner)


@pytest.mark.parametrize(
    ("runner", "hint"),
    [("PrizmRunner", "did you mean PrismRunner"), ("zzzz", "local"), ("DataflowRunner2", "did")],
)
def test_a_runner_that_there_is_not_is_refused(runner, hint):
    with pytest.raises(InvalidArgument, match=f"--runner={runner}: there is no such runner") as e:
        flags_given([f"--runner={runner}"])
    assert hint in e.value.hint


@pytest.mark.parametrize("runner", ["apache_beam.runners.dask.dask_runner.DaskRunner", "dask"])
def test_a_runner_that_loses_rows_is_refused(runner):
    with pytest.raises(InvalidArgument, match="rows would be missing"):
        flags_given([f"--runner={runner}"])


def test_a_runner_behind_a_job_server_may_have_options_of_its_own():
    flags = ["--runner=PortableRunner", "--job_endpoint=embed", "--flink_something=1"]
    assert flags_given(flags) == {"runner": "PortableRunner", "job_endpoint": "embed"}


def test_parts_of_tables_are_below_the_temporary_location():
    engine = make_engine(["--temp_location=gs://b/tmp"])
    assert work_prefix_of(engine.make_pipeline()) == "gs://b/tmp"


def test_a_local_run_needs_no_temporary_location():
    pipeline = make_engine([]).make_pipeline()
    first, second = work_prefix_of(pipeline), work_prefix_of(pipeline)
    assert first != second
    assert not os.path.exists(first)
    flink = make_engine(["--runner=FlinkRunner"])
    assert work_prefix_of(beam.Pipeline(make_engine([]).make_runner(), flink.options))


@pytest.mark.parametrize("flags", [["--runner=DataflowRunner"], ["--runner=PortableRunner"]])
def test_workers_elsewhere_need_a_temporary_location(flags):
    engine = make_engine(flags)
    with pytest.raises(InvalidArgument, match="set --temp_location"):
        work_prefix(engine.options, engine.is_local)
