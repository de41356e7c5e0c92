"""The flex template's image and container spec, as far as they can be looked at without docker."""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[2]
TEMPLATES = ROOT / "templates"
DOCKERFILE = TEMPLATES / "Dockerfile"
IMAGE = "us-central1-docker.pkg.dev/my-project/dataflow/batch-predict:0.1.0"

PYTHON = {
    "python_version": "3.11",
    "python_full_version": "3.11.14",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "os_name": "posix",
    "extra": "",
}
"""Of the image."""


def instructions():
    """(instruction, arguments) of the Dockerfile, with its build arguments filled in."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    pairs = [line.split(None, 1) for line in lines]
    arguments = dict(
        line.partition("=")[::2] for name, line in pairs if name == "ARG" and "=" in line
    )
    filled = []
    for name, line in pairs:
        for _ in arguments:  # whose defaults may have others in them
            line = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], found[0]), line)
        filled.append((name, line))
    return filled


def of(instruction):
    return [line for name, line in instructions() if name == instruction]


def pins(path):
    """Versions by name, of those lines of a file that are for the image's Python."""
    requirements = [Requirement(line) for line in path.read_text().splitlines() if line.strip()]
    return {
        canonicalize_name(each.name): str(each.specifier).removeprefix("==")
        for each in requirements
        if each.marker is None or each.marker.evaluate(PYTHON)
    }


# -- the Dockerfile --


def test_the_image_has_what_a_launcher_and_a_worker_are_started_with():
    copies = [line.split() for line in of("COPY") if line.startswith("--from=")]
    assert copies == [
        ["--from=beam", "/opt/apache/beam", "/opt/apache/beam"],
        ["--from=launcher", *["/opt/google/dataflow/python_template_launcher"] * 2],
    ]
    assert of("ENTRYPOINT") == ['["/opt/apache/beam/boot"]']


def test_versions_are_those_of_the_requirements():
    beam, launcher, base = of("FROM")
    version = pins(TEMPLATES / "requirements.txt")["apache-beam"]
    assert beam == f"apache/beam_python3.11_sdk:{version} AS beam"
    assert re.fullmatch(r".*/python311-template-launcher-base:20\d{6}\S* AS launcher", launcher)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base)


def test_every_file_that_is_copied_is_there_and_sent_to_docker():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    sources = [
        source
        for line in of("COPY")
        if not line.startswith("--from=")
        for source in line.split()[:-1]
    ]
    assert {"beam_batch_predict", "pipelines/batch_predict.py"} <= set(sources)
    for source in [*sources, "templates/requirements-gpu.txt"]:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    for line in ignored:
        if line.startswith("!"):
            assert (ROOT / line[1:]).exists(), line


def test_the_launcher_gets_the_main_and_installs_nothing():
    variables = dict(line.partition("=")[::2] for line in of("ENV"))
    (workdir,) = of("WORKDIR")
    main = variables["FLEX_TEMPLATE_PYTHON_PY_FILE"]
    (copied,) = (line.split() for line in of("COPY") if "pipelines" in line)
    assert main == f"{workdir}/{copied[1]}"
    assert [name for name in variables if name.startswith("FLEX_TEMPLATE")] == [
        "FLEX_TEMPLATE_PYTHON_PY_FILE"
    ]


def test_the_image_knows_its_own_name_under_the_name_that_the_main_asks_for():
    spec = importlib.util.spec_from_file_location("main", ROOT / "pipelines" / "batch_predict.py")
    main = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(main)
    assert f"{main.IMAGE}=${{IMAGE}}" in of("ENV")
    assert "IMAGE" in of("ARG")
    assert any(line.startswith('test -n "${IMAGE}"') for line in of("RUN"))


def test_conflicts_between_packages_stop_the_build():
    assert any("pip check" in line for line in of("RUN"))


def test_what_the_package_is_built_with_is_among_the_requirements():
    # The image builds it without isolation, so that nothing is installed that is not pinned.
    text = (ROOT / "pyproject.toml").read_text()
    (build_with,) = re.findall(r'^requires = \["(.+)"\]$', text, re.MULTILINE)
    requirement = Requirement(build_with)
    assert pins(TEMPLATES / "requirements.txt")[requirement.name] in requirement.specifier


@pytest.mark.slow
def test_the_package_that_the_image_installs_is_complete(tmp_path):
    pytest.importorskip("setuptools", "77")
    package = tmp_path / "package"
    for line in of("COPY"):
        *sources, target = line.split()
        if target.startswith("/tmp/package"):
            place = package / target.removeprefix("/tmp/package/")
            for source in sources:
                if (ROOT / source).is_dir():
                    shutil.copytree(ROOT / source, place, dirs_exist_ok=True)
                else:
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / source, place)
    where = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"]
    subprocess.run([*install, "--quiet", "--no-index", "--target", where, package], check=True)
    shutil.copy(ROOT / "pipelines" / "batch_predict.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "batch_predict.py", "--job=nothing-here.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(where)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "the job file nothing-here.json cannot be read" in done.stderr
    installed = {path.relative_to(where) for path in where.rglob("*.py")}
    here = {path.relative_to(ROOT) for path in (ROOT / "beam_batch_predict").rglob("*.py")}
    assert here <= installed


# -- requirements --


def test_requirements_are_pinned_by_the_lock():
    lock = pins(ROOT / "requirements.lock")
    found = pins(TEMPLATES / "requirements.txt")
    assert len(found) > 50
    for name, version in found.items():
        assert lock.get(name) == version, f"{name}: run templates/make_requirements"


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the image has Python 3.11")
def test_requirements_are_all_that_the_package_needs_and_no_more():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed, waiting = set(), [(Requirement(each), "") for each in project["dependencies"]]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({**PYTHON, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        for wanted_extra in ("", *requirement.extras):
            if (name, wanted_extra) not in needed:
                needed.add((name, wanted_extra))
                below = importlib.metadata.requires(name) or []
                waiting += [(Requirement(each), wanted_extra) for each in below]
    assert set(pins(TEMPLATES / "requirements.txt")) == {name for name, _ in needed}


def test_the_image_for_gpus_has_the_same_and_cuda():
    without, with_gpus = (
        pins(TEMPLATES / name) for name in ("requirements.txt", "requirements-gpu.txt")
    )
    assert without.items() <= with_gpus.items()
    more = with_gpus.keys() - without.keys()
    assert more
    assert all(name.startswith("nvidia-") for name in more)


# -- Cloud Build and the script --


def test_cloud_build_builds_the_dockerfile_and_pushes_the_image():
    config = yaml.safe_load((TEMPLATES / "cloudbuild.yaml").read_text())
    (step,) = config["steps"]
    assert "--file=templates/Dockerfile" in step["args"]
    assert step["args"][-1] == "."
    given = [arg.split("=")[1] for arg in step["args"] if arg.startswith("--build-arg=")]
    assert set(given) == {"IMAGE", "REQUIREMENTS"} <= {line.split("=")[0] for line in of("ARG")}
    assert config["images"] == ["${_IMAGE}"]
    used = set(re.findall(r"\$\{(_\w+)\}", json.dumps(config)))
    script = (TEMPLATES / "build").read_text()
    assert used == {"_IMAGE", "_REQUIREMENTS"}
    assert all(f"{name}=" in script for name in used)


def build(*arguments, path=os.environ["PATH"], **environment):
    return subprocess.run(
        [TEMPLATES / "build", *arguments],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def spying(tmp_path):
    """A PATH whose gcloud and docker only write down what they are called with."""
    for name in ("gcloud", "docker"):
        program = tmp_path / name
        program.write_text(f'#!/bin/bash\nprintf "%s\\n" "{name} $*" >> {tmp_path}/calls\n')
        program.chmod(0o755)

    def run(*arguments):
        done = build(*arguments, path=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        assert done.returncode == 0, done.stderr
        return (tmp_path / "calls").read_text().splitlines()

    return run


WANTED = [f"--image={IMAGE}", "--template=gs://bucket/t.json", "--project=my-project"]


def test_the_script_builds_the_image_and_then_stages_the_template(spying):
    built, staged = spying(*WANTED, "--region=europe-west1", "--gpu", "--", "--max-workers=5")
    assert built.startswith("gcloud builds submit . --project=my-project --region=europe-west1 ")
    assert f"--substitutions=_IMAGE={IMAGE},_REQUIREMENTS=requirements-gpu.txt" in built
    assert staged == (
        "gcloud dataflow flex-template build gs://bucket/t.json --project=my-project "
        f"--image={IMAGE} --sdk-language=PYTHON --metadata-file=templates/metadata.json "
        "--max-workers=5"
    )


def test_the_script_builds_with_docker_if_requested(spying):
    built, pushed, staged = spying(*WANTED, "--docker")
    assert built == (
        f"docker build --file=templates/Dockerfile --build-arg=IMAGE={IMAGE} "
        f"--build-arg=REQUIREMENTS=requirements.txt --tag={IMAGE} ."
    )
    assert pushed == f"docker push {IMAGE}"
    assert staged.startswith("gcloud dataflow flex-template build")


def test_the_script_builds_no_image_that_is_there_already(spying):
    (staged,) = spying(*WANTED, "--no-image")
    assert staged.startswith("gcloud dataflow flex-template build")


def test_printing_builds_and_stages_nothing(spying):
    (printed,) = spying(*WANTED, "--print-only")
    assert "--print-only" in printed


@pytest.mark.parametrize("left_out", WANTED)
def test_the_script_asks_for_what_it_needs_by_name(left_out):
    done = build(*(each for each in WANTED if each != left_out))
    assert done.returncode == 2
    assert f"missing: {left_out.split('=')[0]}=" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--template=bucket/t.json", "expected gs://BUCKET/PATH.json, found bucket/t.json"),
        ("--template=gs://bucket", "expected gs://BUCKET/PATH.json"),
        ("--image=us-docker.pkg.dev/p/r/name", "expected a tag or a digest"),
        ("--max-workers=5", "put flags of gcloud after --"),
        ("--template", "expected the value after an ="),
    ],
)
def test_the_script_refuses_what_cannot_work(argument, message):
    done = build(*WANTED, argument)
    assert done.returncode == 2
    assert message in done.stderr


def test_the_script_explains_itself():
    done = build("--help")
    assert done.returncode == 0
    script = (TEMPLATES / "build").read_text()
    taken = set(re.findall(r"^    (--[\w-]+)(?:=\*)?\)", script, re.MULTILINE))
    assert {"--template", "--image", "--project", "--region", "--gpu", "--docker"} <= taken
    for flag in taken:
        assert re.search(rf"^  {flag}\b", done.stdout, re.MULTILINE), flag


# -- the container spec --


def make_spec(*arguments):
    command = [sys.executable, TEMPLATES / "make_spec.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_gcloud_makes_the_container_spec_that_we_make(tmp_path):
    if shutil.which("gcloud") is None:
        pytest.skip("gcloud is not installed")
    environment = {"CLOUDSDK_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
    done = build(*WANTED, "--print-only", "--", "--max-workers=5", **environment)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    ours = make_spec(f"--image={IMAGE}", '--environment={"maxWorkers": 5}')
    assert ours.returncode == 0, ours.stderr
    made = json.loads(ours.stdout)
    # gcloud has no flag for the image of workers; the image names itself.
    assert made["defaultEnvironment"].pop("sdkContainerImage") == IMAGE
    assert printed == made


def test_a_spec_that_dataflow_does_not_know_is_refused():
    done = make_spec(f"--image={IMAGE}", '--environment={"maxWorker": 5}')
    assert done.returncode == 2
    assert 'no field named "maxWorker"' in done.stderr


@pytest.mark.parametrize("environment", ["[]", "5", "{"])
def test_an_environment_that_is_no_object_is_refused(environment):
    done = make_spec(f"--image={IMAGE}", f"--environment={environment}")
    assert done.returncode == 2
    assert "--environment" in done.stderr
