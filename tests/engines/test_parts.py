"""Getting the parts that the tests of other engines need."""

import pytest
from engines import get_parts


@pytest.mark.parametrize("length", [1, 40, 60, 61, 62, 129, 130, 500])
def test_lines_of_a_manifest_are_folded_and_whole(length):
    text = get_parts._entry(("Class-Path", "x" * length))
    assert all(len(line.encode()) <= 70 for line in text.split("\r\n"))
    assert text.replace("\r\n ", "") == f"Class-Path: {'x' * length}\r\n"


def test_a_part_may_be_brought_along(monkeypatch, tmp_path):
    monkeypatch.setenv("BBP_PRISM", str(tmp_path / "mine"))
    assert get_parts.prism() == (tmp_path / "mine", f"BBP_PRISM={tmp_path / 'mine'}")


def test_a_part_that_cannot_be_had_has_its_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(get_parts, "PARTS", tmp_path)
    monkeypatch.delenv("BBP_PRISM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(get_parts.Missing, match="make test-engines"):
        get_parts.prism()
    get_parts._get("prism", get_parts._build_prism)
    with pytest.raises(get_parts.Missing, match="^go is not installed$"):
        get_parts.prism()
    with pytest.raises(get_parts.Missing, match="Java is not installed"):
        get_parts.flink_job_server()
