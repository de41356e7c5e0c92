"""Arguments in any spelling and order, in every command, and unknown options."""

import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import beam_batch_predict as bbp
from beam_batch_predict import cli
from beam_batch_predict.cli.arguments import Takes, flags_of, separate
from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runners.pipeline_options import (
    _beam_parser,
    in_beams_spelling,
    takes_value,
)

COMMANDS = ("run", "submit", "models", "verify")
FLAGS = [(command, flag) for command in COMMANDS for flag in flags_of(command) if flag != "-q"]
OF_BEAM = sorted(_beam_parser()._option_string_actions)

JOB = {
    "displayName": "penguins",
    "unmanagedContainerModel": {"artifactUri": "model"},
    "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["in*"]}},
    "outputConfig": {
        "predictionsFormat": "jsonl",
        "gcsDestination": {"outputUriPrefix": "out"},
    },
}
SUBMIT = [
    *("submit", "penguins_1", "--model-dir", "model", "--input-paths", "in*"),
    *("--output-path", "out", "--data-format", "text"),
]


def spellings(flag):
    """A flag with dashes, with underscores, and with both."""
    words = flag[2:].replace("-", "_").split("_")
    mixed = words[0] + "".join(
        sign + word for sign, word in zip(itertools.cycle("-_"), words[1:], strict=False)
    )
    return sorted({f"--{'-'.join(words)}", f"--{'_'.join(words)}", f"--{mixed}"})


@pytest.fixture
def shell(tmp_path, capfd, monkeypatch):
    """A function that runs a command line with a job file JOB.json: exit code and what it says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "JOB.json").write_text(json.dumps(JOB))

    def run(arguments):
        try:
            code = cli.main(arguments.split() if isinstance(arguments, str) else arguments)
        except SystemExit as end:
            code = end.code
        assert sorted(path.name for path in tmp_path.iterdir()) == ["JOB.json"]  # nothing started
        return code, *capfd.readouterr()

    return run


# -- our options --


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_an_option_of_ours_in_every_spelling_before_and_behind_a_word(command, flag):
    takes = flags_of(command)[flag]
    value = "true" if takes is Takes.BOOLEAN else "a-b_c"
    for spelling in spellings(flag):
        ways = [[spelling]] if takes is not Takes.VALUE else []
        if takes is not Takes.NOTHING:
            ways += [[spelling, value], [f"{spelling}={value}"]]
        for way in ways:
            made = flag if takes is Takes.NOTHING else f"{flag}={value}"
            assert separate(command, [*way, "WORD"]) == ([made, "WORD"], ["WORD"], [])
            assert separate(command, ["WORD", *way]) == (["WORD", made], ["WORD"], [])


@pytest.mark.parametrize(("command", "flag"), FLAGS)
def test_an_option_of_ours_with_an_error_in_its_name_is_not_taken_for_another(command, flag):
    wrong = f"{flag}x"
    if wrong in flags_of(command):
        return
    if command in ("models", "verify"):
        with pytest.raises(InvalidArgument, match=f"unknown option {wrong}\n"):
            separate(command, [wrong])
    else:
        assert separate(command, [f"{wrong}=1"]) == ([], [], [f"{wrong}=1"])


@pytest.mark.parametrize(
    ("arguments", "taken"),
    [
        ("--resume J", "--resume=true J"),
        ("J --resume", "J --resume=true"),
        ("--resume FALSE J", "--resume=FALSE J"),
        ("--resume --csv_multiline J", "--resume=true --csv_multiline=true J"),
        ("--signature_name true J", "--signature_name=true J"),
        ("--signature_name --resume", "--signature_name --resume=true"),
        ("--signature_name= J", "--signature_name= J"),
        ("-h -", "-h -"),
    ],
)
def test_what_becomes_of_values(arguments, taken):
    assert separate("run", arguments.split()).ours == taken.split()


@given(st.lists(st.text(st.characters(exclude_characters="-"), max_size=9), max_size=4))
def test_a_value_with_anything_in_it_stays_one_piece(values):
    given_ = [piece for value in values for piece in ("--display-name", value)]
    assert separate("run", given_).ours == [f"--display_name={value}" for value in values]


# -- those of Beam --


@pytest.mark.parametrize("flag", OF_BEAM)
def test_an_option_of_beam_in_every_spelling(flag):
    needs_value = takes_value(flag)
    for spelling in spellings(flag):
        assert takes_value(spelling) is needs_value
        (found,) = in_beams_spelling([f"{spelling}=a-b_c"])
        name, _, value = found.partition("=")
        assert name.replace("-", "_") == flag.replace("-", "_")
        assert name in OF_BEAM
        assert value == "a-b_c"


@pytest.mark.parametrize("spelling", spellings("--direct_num_workers"))
@pytest.mark.parametrize("command", ["run JOB.json --dry-run", " ".join([*SUBMIT, "--dry-run"])])
def test_an_option_of_beam_goes_to_beam_in_its_own_spelling(shell, command, spelling):
    for flag in (f"{spelling}=2", f"{spelling} 2"):
        code, _, err = shell(f"{command} {flag}")
        assert code == 0, err
        assert ["--direct_num_workers=2", "given"] in [line.split() for line in err.splitlines()]
        assert "--direct_running_mode=multi_processing" in err


def test_beam_is_asked_what_a_value_is():
    assert separate("run", ["--runner", "X", "J"]) == (["J"], ["J"], ["--runner=X"])
    assert separate("run", ["--streaming", "J"]) == (["J"], ["J"], ["--streaming"])
    assert separate("run", ["--runner"]) == ([], [], ["--runner"])
    assert separate("run", ['--labels={"a": "b"}']) == ([], [], ['--labels={"a": "b"}'])


# -- unknown ones --


@pytest.mark.parametrize(
    "line",
    [
        "run --inpt F JOB.json",
        "run JOB.json --inpt F",
        "run --inpt F",
        "run --inpt=F",
        "run --inpt",
        "run --inpt F JOB.json --dry-run",
        "run --inpt F JOB.json --runner=DataflowRunner",
        "run --inpt F JOB.json --runner DirectRunner",
        "run --instances_format=csv --inpt F --model_uri m --output_uri_prefix out",
        "run JOB.json --inpt=F",
    ],
)
def test_an_unknown_option_is_refused_by_its_name(shell, line):
    code, out, err = shell(line)
    assert (code, out) == (2, "")
    assert err == "error: unknown option --inpt\n  hint: did you mean --input_uris?\n"


@pytest.mark.parametrize(
    ("line", "option", "near"),
    [
        ("submit --input-path F j", "--input-path", "--input-paths"),
        ("submit j --input_path F", "--input_path", "--input-paths"),
        ("submit --batchsize 3 j", "--batchsize", "--batch-size"),
        ("run --chunk-byte 3 JOB.json", "--chunk-byte", "--chunk_bytes"),
        ("run --direct-num-worker 3 JOB.json", "--direct-num-worker", "--direct_num_workers"),
        ("models list --model-regsitry x", "--model-regsitry", "--model_registry"),
        ("models describe m --jsn", "--jsn", "--json"),
    ],
)
def test_the_nearest_option_is_one_of_the_command(shell, line, option, near):
    code, out, err = shell(line)
    assert (code, out) == (2, "")
    assert err == f"error: unknown option {option}\n  hint: did you mean {near}?\n"


def test_an_option_that_only_a_runner_knows_has_its_value_behind_the_job(shell):
    runner = "--runner=PortableRunner --job_endpoint=embed --dry-run"
    code, _, err = shell(f"run JOB.json {runner} --engine-option 1")
    assert code == 0, err
    assert "--engine-option=1" in err
    code, out, err = shell(f"run {runner} --engine-option 1 JOB.json")
    assert (code, out) == (2, "")
    assert "--engine-option is not an option of Beam, so 1 can be its value or the job" in err
    assert "write --engine-option=1" in err
    code, _, err = shell(f"run {runner} --engine-option=1 JOB.json")
    assert code == 0, err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run JOB.json other.json", "unknown argument other.json"),
        ("run --runner local JOB.json other.json", "unknown argument other.json"),
        ("submit a b.json c.json", "quote a pattern of local files"),
        ("verify --json DIR", "unknown option --json"),
        ("verify", "DIR"),
        ("rnu JOB.json", "invalid choice: 'rnu'"),
        ("--chunk_bytes=1 run JOB.json", "there is no command before --chunk_bytes"),
        ("--dry_run=true run JOB.json", "there is no command before --dry_run"),
        ("--dry-run run JOB.json", "there is no command before --dry-run"),
        ("-V", "there is no command before -V"),
        ("run --version", "run has no option --version"),
        ("models list --version", "write beam-batch-predict --version, without a command"),
        ("models list --json=true", "--json takes no value, found 'true'"),
        ("run JOB.json --help=true", "--help takes no value, found 'true'"),
        ("run JOB.json --dry-run --key=field:id", "name the field in instanceConfig.keyField"),
        (
            "run --instances_format=csv --input_uris=a --model_uri=m --output_uri_prefix=out "
            "--key_field=id --key=location --dry-run",
            "the key of this job is instanceConfig.keyField",
        ),
        ("verify JOB.json", "JOB.json is not a directory"),
        ("submit j --async=true", "--async takes no value, found 'true'"),
        ("run JOB.json --dry-run --streaming=true", "argument --streaming: takes no value, found"),
        ("run JOB.json --dry-run --direct_num_workers=-1", "expected a number from 0, found -1"),
        ("run --dry-run no JOB.json", "--dry-run: expected true or false, found 'no'"),
        ("", "COMMAND"),
    ],
)
def test_other_wrong_command_lines(shell, line, words):
    code, out, err = shell(line)
    assert (code, out) == (1 if line == "verify JOB.json" else 2, "")
    assert words in err
    assert err.startswith("error: ")
    assert err.count("\n") <= 3
    assert "Traceback" not in err


# -- dry runs --


@pytest.mark.parametrize("name", ["--dry-run", "--dry_run"])
@pytest.mark.parametrize("value", ["", "=true", " true", "=True", "=TRUE", " True"])
@pytest.mark.parametrize(
    "command", ["run {} JOB.json", "run JOB.json {}", f"{' '.join(SUBMIT)} {{}}"]
)
def test_a_dry_run_in_every_spelling_starts_nothing(shell, command, name, value):
    code, out, err = shell(command.format(f"{name}{value}"))
    assert code == 0, err
    assert "JOB_STATE" not in out
    assert json.loads(out).keys() & {"displayName", "jobId"}


@pytest.mark.parametrize("name", ["--dry-run", "--dry_run"])
@pytest.mark.parametrize("value", ["=false", " false", "=False"])
@pytest.mark.parametrize("command", ["run", "submit"])
def test_a_dry_run_that_is_false_is_a_run(monkeypatch, shell, command, name, value):
    monkeypatch.setattr(cli.app, "_show_run", lambda *given: 3)
    monkeypatch.setattr(cli.app, "_run_to_exit_code", lambda *given: 4)
    line = "run JOB.json" if command == "run" else " ".join(SUBMIT)
    assert shell(f"{line} {name}{value}")[0] == 4
    assert shell(f"{line} {name}")[0] == 3


@pytest.mark.parametrize("value", ["=maybe", "=", "=1"])
def test_a_dry_run_that_is_neither_true_nor_false_is_refused(shell, value):
    code, out, err = shell(f"run JOB.json --dry_run{value}")
    assert (code, out) == (2, "")
    assert "--dry-run: expected true|false" in err


# -- the version --


def test_the_version_is_printed_without_beam():
    code = (
        "import sys; from beam_batch_predict import cli\n"
        "try: cli.main(['--version'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'apache_beam', 'tensorflow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"beam-batch-predict {bbp.__version__}\n"
