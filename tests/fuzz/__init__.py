"""Fuzz targets: code that reads bytes of users, and properties that hold for any bytes.

A target is a module `fuzz_<name>.py` with

- `check(data: bytes) -> None`: reads the bytes, and fails if a promise is broken;
- `SEEDS: list[bytes]`: the first inputs, valid and invalid.

`make fuzz` runs each for some seconds with a coverage-guided fuzzer (`driver.py`); the
tests of `test_fuzz_targets.py` try the seeds and a few mutations of them.
"""
