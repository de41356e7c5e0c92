"""For `pip install .` without a build front end, and for Beam's `--setup_file=./setup.py`.

All that there is to say about the package is said in pyproject.toml.
"""

from setuptools import setup

setup()
