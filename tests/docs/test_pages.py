"""What README and docs say is run, or held against the code."""

import contextlib
import io
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from beam_batch_predict import cli
from beam_batch_predict.cli.options import OPTIONS
from beam_batch_predict.jobs import BatchPredictionJob, read_job

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def checkout(tmp_path):
    """A directory that looks like a checkout, for commands that write into it."""
    for name in ("beam_batch_predict", "pipelines"):
        os.symlink(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def in_checkout(command, checkout):
    binaries = pathlib.Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(checkout),
    }
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=200
    )


@pytest.mark.slow
@pytest.mark.parametrize("block", blocks("python"))
def test_python_of_the_readme_runs(block, checkout):
    done = in_checkout([sys.executable, "-c", block], checkout)
    assert done.returncode == 0, done.stderr


def test_written_results_of_the_readme_are_there(checkout):
    done = in_checkout([sys.executable, "-c", blocks("python")[0]], checkout)
    assert done.returncode == 0, done.stderr
    (directory,) = (checkout / "out").iterdir()
    assert len((directory / "predictions_0001.jsonl").read_text().splitlines()) == 333


@pytest.mark.slow
def test_shell_commands_of_the_readme_run_one_after_the_other(checkout):
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in lines if line.startswith("beam-batch-predict")]
    done = {command: in_checkout_by_hand(command, checkout) for command in commands}
    records = [json.loads(text) for command, text in done.items() if " run " in command]
    assert [job["completionStats"]["successfulCount"] for job in records] == ["333"] * 4
    (verified,) = (text for command, text in done.items() if " verify " in command)
    assert verified.count("complete and unchanged") == 1


def in_checkout_by_hand(command, checkout):
    """What a command of a shell prints; one that goes on with a run gets one that broke off."""
    program = f"{shlex.quote(sys.executable)} -m beam_batch_predict"
    command = command.replace("beam-batch-predict", program, 1)
    if "--resume" in command:
        shutil.rmtree(checkout / "out")
        broken = command.replace("--resume", "--max_failed_fraction=0")
        assert in_checkout(["sh", "-c", broken], checkout).returncode == 1
    done = in_checkout(["sh", "-c", command], checkout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_targets_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_job_of_the_readme_is_valid():
    (job,) = blocks("json")
    assert read_job(job).display_name == "penguins"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_every_field_of_a_job_is_documented():
    text = (ROOT / "docs" / "jobs.md").read_text()
    for field in BatchPredictionJob.model_fields.values():
        assert re.search(rf"`{field.alias}[`.]", text), field.alias


def test_command_line_page_is_what_help_prints(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), pytest.raises(SystemExit):
        cli.main(["run", "--help"])
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert out.getvalue() in page
    for option in OPTIONS:
        assert f"`--{option.name}`" in page


def test_tests_that_the_docs_name_are_there():
    page = (ROOT / "docs" / "reliability.md").read_text()
    code = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"\btest_[a-z0-9_]+\b(?!\.py)", page))
    missing = {name for name in named if f"def {name}(" not in code}
    assert missing == set()
    assert len(named) > 40
    for name in set(re.findall(r"\btest_[a-z0-9_]+\.py", page)):
        assert list((ROOT / "tests").rglob(name)), name
