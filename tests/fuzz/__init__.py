"""Fuzz targets: what eats bytes of users, and what must hold whatever these are.

A target is a module `fuzz_<name>.py` with

- `check(data: bytes) -> None`: reads the bytes, and fails if a promise is broken;
- `SEEDS: list[bytes]`: inputs to start from, good and bad.

`make fuzz` runs each for some seconds with a coverage-guided fuzzer (`driver.py`); the
tests of `test_fuzz_targets.py` try the seeds and a few mutations of them.
"""
