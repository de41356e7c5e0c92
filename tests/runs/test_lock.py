"""The lock on a run, which one process at a time has."""

import pytest

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.runs.lock import is_locked, locked


def test_a_second_process_does_not_get_the_lock(tmp_path):
    parts = str(tmp_path / "out" / "_parts" / "run")
    assert not is_locked(parts)
    with locked(parts):
        assert is_locked(parts)
        message = rf"another process works on the run in {tmp_path}/out\n"
        with pytest.raises(InvalidArgument, match=message), locked(parts):
            pass
        assert is_locked(parts)
    assert not is_locked(parts)
    with locked(parts):
        assert is_locked(parts)
