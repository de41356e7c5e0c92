"""Arguments of the command line before argparse sees them."""

from __future__ import annotations

from collections.abc import Sequence

from beam_batch_predict.cli import gcloud_flags
from beam_batch_predict.cli.job_flags import FIELDS
from beam_batch_predict.cli.options import OPTIONS

__all__ = ["is_spaced_flag", "our_flags", "with_equals_signs"]


def with_equals_signs(arguments: Sequence[str]) -> list[str]:
    """The arguments, with the value of each flag in one piece with it.

    A flag that is true or false is true by itself. What flags of Beam take is asked of Beam,
    whose import takes seconds, where it makes a difference: in `--runner X JOB.json`.
    """
    booleans = {f"--{option.name}" for option in OPTIONS if isinstance(option.default, bool)}
    others = {f"--{option.name}" for option in OPTIONS} - booleans
    others |= {f"--{field.option.name}" for field in FIELDS}
    switches = gcloud_flags.switches() if arguments[:1] == ["submit"] else {"--dry-run"}
    if arguments[:1] == ["submit"]:
        others |= gcloud_flags.value_flags()
    joined: list[str] = []
    waiting = list(arguments)
    while waiting:
        flag = waiting.pop(0)
        value = waiting[0] if waiting and not waiting[0].startswith("-") else None
        if flag == "--dry_run" and (value or "").lower() not in ("true", "false"):
            flag = "--dry-run"  # Beam has an option of that name, which takes a value
        if flag in booleans:
            taken = value is not None and value.lower() in ("true", "false")
            flag = f"{flag}={waiting.pop(0) if taken else 'true'}"
        elif flag in switches or value is None or not _is_open(flag):
            pass
        elif flag in others or _takes_value(flag):
            flag = f"{flag}={waiting.pop(0)}"
        joined.append(flag)
    return joined


def is_spaced_flag(argument: str) -> bool:
    """Whether it is a flag of Beam that argparse would take for a job file: it has a space.

    Example:
        >>> is_spaced_flag('--labels={"a": "b"}'), is_spaced_flag("--display_name=a b")
        (True, False)
    """
    if not argument.startswith("-") or " " not in argument:
        return False
    return argument.partition("=")[0] not in our_flags()


def _is_open(flag: str) -> bool:
    return flag.startswith("--") and "=" not in flag


def _takes_value(flag: str) -> bool:
    from beam_batch_predict.runners.pipeline_options import takes_value

    return takes_value(flag)


def our_flags() -> set[str]:
    """The flags of `run` that are not Beam's."""
    return {f"--{option.name}" for option in (*OPTIONS, *(field.option for field in FIELDS))}
