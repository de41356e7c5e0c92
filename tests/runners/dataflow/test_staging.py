"""What workers that have Beam and nothing else are given: a wheel of this package."""

import logging
import pathlib
import subprocess
import sys
import zipfile
from importlib import metadata

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.portability.portable_runner import PortableRunner

import beam_batch_predict
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.job_options import make_engine
from beam_batch_predict.runners.staging import make_wheel, requirements_of, staged_for_workers
from beam_batch_predict.spec import BatchPredictSpec, GcsDestination, JsonLines, SavedModel

PACKAGE = pathlib.Path(beam_batch_predict.__file__).parent
DATAFLOW = "--runner=DataflowRunner"
PORTABLE = ("--runner=PortableRunner", "--job_endpoint=jobs.example.com:8099")

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
import beam_batch_predict
assert pathlib.Path(beam_batch_predict.__file__).parents[1] == pathlib.Path(sys.argv[1])
for module in pkgutil.walk_packages(beam_batch_predict.__path__, "beam_batch_predict."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from beam_batch_predict.runners.staging import make_wheel
print(make_wheel(sys.argv[2]))
"""


def pip_install(*arguments):
    command = [sys.executable, "-m", "pip", "install", "--no-index", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def staged_names(environment):
    """The names under which a worker finds what is staged for it."""
    return [
        api.ArtifactStagingToRolePayload.FromString(each.role_payload).staged_name
        for each in environment.dependencies
    ]


def test_a_wheel_has_all_modules_and_nothing_else(tmp_path):
    wheel = make_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    modules = {
        f"beam_batch_predict/{path.relative_to(PACKAGE).as_posix()}": path.read_bytes()
        for path in (*PACKAGE.rglob("*.py"), PACKAGE / "py.typed")
    }
    assert len(modules) > 150
    info = f"beam_batch_predict-{metadata.version('beam-batch-predict')}.dist-info"
    assert {name: data for name, data in packed.items() if name in modules} == modules
    assert set(packed) - set(modules) == {
        f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt")
    }


def test_what_pip_installs_from_a_wheel_imports_and_packs_itself_again(tmp_path):
    wheel = pathlib.Path(make_wheel(str(tmp_path)))
    installed, again = tmp_path / "installed", tmp_path / "again"
    again.mkdir()
    pip_install("--no-deps", "--target", installed, wheel)
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, installed, again],
        env={"PYTHONPATH": str(installed), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert pathlib.Path(done.stdout.strip()) == again / wheel.name
    assert (again / wheel.name).read_bytes() == wheel.read_bytes()


def test_modules_of_a_model_are_required_in_the_versions_of_this_machine(tmp_path):
    modules = ["pydantic.fields", "packaging", "pydantic"]
    assert requirements_of(modules) == ["pydantic", "packaging"]
    options = PipelineOptions()
    with staged_for_workers(options, lambda _: None, modules):
        [wheel] = options.view_as(SetupOptions).extra_packages
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path)
    (info,) = tmp_path.glob("*.dist-info")
    requires = metadata.Distribution.at(info).requires
    for name in ("pydantic", "packaging"):
        assert f"{name}=={metadata.version(name)}" in requires
    assert len(requires) == len(set(requires))


def test_a_module_that_workers_cannot_install_is_refused_before_anything_starts(
    tmp_path, monkeypatch
):
    (tmp_path / "of_my_own.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    flags = ["--runner=DataflowRunner", "--project=p-1", "--region=us-east1"]
    flags += ["--temp_location=gs://bucket/tmp"]
    model = SavedModel("gs://b/m", imports=["of_my_own"])
    spec = BatchPredictSpec(JsonLines("gs://b/in"), model, GcsDestination("gs://b/out"))
    with pytest.raises(InvalidArgument, match="of_my_own is part of no installed distribution"):
        make_engine(flags).check_reach(spec)
    # What an image contains is not known here.
    make_engine([*flags, "--sdk_container_image=image"]).check_reach(spec)


@pytest.mark.slow
def test_a_wheel_requires_what_the_package_does(tmp_path):
    wheel = make_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    (info,) = tmp_path.glob("*.dist-info")
    requires = metadata.Distribution.at(info).requires
    pinned = {name.partition(";")[0] for name in requires}
    assert {
        f"{name}=={metadata.version(name.partition('[')[0])}"
        for name in ("apache-beam[gcp]", "fastavro", "numpy", "pyarrow", "tensorflow")
    } <= pinned
    assert not [name for name in requires if "extra" in name or "pytest" in name]
    # The second step of a worker's start, where all that is required is there already.
    wanted = [line for line in pip_install("--dry-run", wheel).splitlines() if "Would" in line]
    version = metadata.version("beam-batch-predict")
    assert wanted in ([], [f"Would install beam-batch-predict-{version}"])


def test_packed_twice_it_is_the_same_bytes(tmp_path):
    wheels = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        wheels.append(pathlib.Path(make_wheel(str(tmp_path / name))).read_bytes())
    assert wheels[0] == wheels[1]


def test_what_a_build_has_left_in_a_checkout_is_not_what_is_installed(tmp_path, monkeypatch):
    old = tmp_path / "beam_batch_predict.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: beam-batch-predict\nVersion: 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert metadata.version("beam-batch-predict") == "0"
    assert "beam_batch_predict-0-" not in make_wheel(str(tmp_path))


def test_a_package_that_was_never_installed_cannot_be_staged(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "distributions", lambda **_: [])
    with pytest.raises(InvalidArgument, match="not installed here") as caught:
        make_wheel(str(tmp_path))
    assert "--sdk_container_image" in caught.value.hint


@pytest.mark.parametrize(
    ("flags", "lack"),
    [
        ((), False),
        ([DATAFLOW], True),
        ([DATAFLOW, "--sdk_container_image=image"], False),
        ([DATAFLOW, "--worker_harness_container_image=image"], False),
        ([DATAFLOW, "--sdk_harness_container_image_overrides=.*python.*,image"], False),
        ([DATAFLOW, "--setup_file=./setup.py"], False),
        ([DATAFLOW, "--extra_package=dist/beam_batch_predict-0.1.0.tar.gz"], False),
        ([DATAFLOW, "--extra_package=dist/beam-batch-predict-0.1.0.tar.gz"], False),
        ([DATAFLOW, "--extra_package=dist/custom_ops-1.0.tar.gz"], True),
        ([DATAFLOW, "--prebuild_sdk_container_engine=cloud_build"], True),
        ([*PORTABLE], True),
        ([*PORTABLE, "--environment_type=DOCKER"], True),
        ([*PORTABLE, "--environment_type=DOCKER", "--environment_config=image"], False),
        ([*PORTABLE, "--environment_options=docker_container_image=image"], False),
        ([*PORTABLE, "--sdk_container_image=image"], False),
        ([*PORTABLE, "--environment_type=EXTERNAL", "--environment_config=host:1"], False),
        ([*PORTABLE, "--environment_type=LOOPBACK"], False),
        (["--runner=PortableRunner", "--job_endpoint=embed"], False),
        (["--runner=FlinkRunner", "--flink_master=[local]"], False),
        (["--runner=FlinkRunner", "--flink_master=flink.example.com:8081"], True),
        (["--runner=SparkRunner", "--spark_master_url=local[2]"], False),
        (["--runner=PrismRunner"], False),
    ],
)
def test_only_workers_without_the_package_are_given_it(flags, lack):
    assert make_engine(flags).workers_lack_package is lack


@pytest.mark.parametrize(
    ("requirements", "lack"),
    [
        ("beam-batch-predict==0.1.0\n", False),
        ("numpy\nBeam_Batch.Predict[x] @ git+https://example.com/repo\n", False),
        ("git+https://example.com/beam-batch-predict.git\n", False),
        ("numpy\n# not beam-batch-predict\n", True),
        ("not-beam-batch-predict\n", True),
        ("beam-batch-predict-extras==1.0\n", True),
    ],
)
def test_a_requirements_file_may_name_the_package(requirements, lack, tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text(requirements)
    engine = make_engine([DATAFLOW, f"--requirements_file={path}"])
    assert engine.workers_lack_package is lack


def test_packages_of_the_user_come_first_and_stay(tmp_path):
    options = make_engine([DATAFLOW, "--extra_package=ops-1.0.tar.gz"]).options
    setup, said = options.view_as(SetupOptions), []
    with staged_for_workers(options, said.append):
        first, wheel = setup.extra_packages
        assert first == "ops-1.0.tar.gz"
        assert pathlib.Path(wheel).is_file()
    assert setup.extra_packages == ["ops-1.0.tar.gz"]
    assert not pathlib.Path(wheel).exists()
    (note,) = said
    assert note.startswith("note: workers start from Beam's image, and install beam-batch-predict")
    assert "Cloud NAT" not in note


def test_workers_that_cannot_reach_pypi_are_spoken_of():
    said = []
    with staged_for_workers(make_engine([DATAFLOW, "--no_use_public_ips"]).options, said.append):
        pass
    assert "Without public addresses they reach it only through Cloud NAT." in said[0]


def test_only_what_beam_says_of_our_wheel_is_kept_back(caplog):
    options = make_engine([DATAFLOW]).options
    stager = logging.getLogger("apache_beam.runners.portability.stager")
    with staged_for_workers(options):
        (wheel,) = options.view_as(SetupOptions).extra_packages
        stager.warning('The .whl package "%s" must be binary-compatible', wheel)
        stager.warning("another warning")
    stager.warning('The .whl package "%s" must be binary-compatible', wheel)
    assert len(caplog.messages) == 2


def test_a_job_on_dataflow_brings_the_package(run, service, no_waiting, tmp_path):
    there = service("CANCELLED")
    _, _, said = run(there)
    staging = tmp_path / "staging"
    (wheel,) = staging.glob("*.whl")
    assert (staging / "extra_packages.txt").read_text() == f"{wheel.name}\n"
    pipeline = api.Pipeline.FromString((staging / "pipeline.pb").read_bytes())
    (environment,) = pipeline.components.environments.values()
    assert sorted(staged_names(environment)) == sorted([wheel.name, "extra_packages.txt"])
    assert said.count("note: workers start from Beam's image") == 1
    again = tmp_path / "again"
    again.mkdir()
    assert pathlib.Path(make_wheel(str(again))).read_bytes() == wheel.read_bytes()


def test_containers_of_a_portable_runner_are_given_the_package():
    options = make_engine(PORTABLE).options
    pipeline = beam.Pipeline(runner="PortableRunner", options=options)
    _ = pipeline | beam.Create([1])
    with staged_for_workers(pipeline.options):
        (wheel,) = pipeline.options.view_as(SetupOptions).extra_packages
        proto = PortableRunner.get_proto_pipeline(pipeline, pipeline.options)
    (environment,) = proto.components.environments.values()
    assert environment.urn == common_urns.environments.DOCKER.urn
    assert pathlib.Path(wheel).name in staged_names(environment)


def test_an_image_of_ones_own_is_taken_as_it_is(run, service, no_waiting, tmp_path):
    there = service("CANCELLED")
    image = "europe-docker.pkg.dev/my-project/images/batch-predict:1"
    _, _, said = run(there, f"--sdk_container_image={image}")
    assert [path.name for path in (tmp_path / "staging").iterdir()] == ["pipeline.pb"]
    assert "note: workers start" not in said
    (pool,) = there.created_job["environment"]["workerPools"]
    assert [each["containerImage"] for each in pool["sdkHarnessContainerImages"]] == [image]
