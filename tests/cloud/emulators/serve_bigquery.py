"""Runs the BigQuery emulator; the Python of `make emulators` executes this file.

DuckDB would download its extensions: they are linked from where pip has put them to
where DuckDB looks, below $HOME, which must be a directory for this server alone. The
emulator gives small tables one read stream; EMULATOR_STREAM_ROWS rows go in each here. It
takes BYTES in Parquet files for Base64: here they are taken for what they are.
"""

import importlib
import os
import pathlib
import sys


def main():
    import duckdb

    version = f"v{duckdb.__version__}"
    platform = duckdb.sql("PRAGMA platform").fetchone()[0]
    target = pathlib.Path.home() / ".duckdb" / "extensions" / version / platform
    target.mkdir(parents=True)
    for name in ("icu", "avro", "ducklake", "httpfs", "spatial"):
        package = importlib.import_module(f"duckdb_extension_{name}")
        file = f"{name}.duckdb_extension"
        source = pathlib.Path(package.__file__).parent / "extensions" / version / file
        (target / file).symlink_to(source)

    from local_bigquery.cli import main as serve
    from local_bigquery.engine.database import quote
    from local_bigquery.engine.types import duckdb_type
    from local_bigquery.grpc import read
    from local_bigquery.jobs import load

    project = load._projection

    def project_typed(config, fields, columns):
        if config.sourceFormat != "PARQUET" or not fields:
            return project(config, fields, columns)
        names = [quote(field.name) for field in fields]
        pairs = zip(names, map(duckdb_type, fields), strict=True)
        return ", ".join(f"CAST({name} AS {kind}) AS {name}" for name, kind in pairs), "false"

    load._projection = project_typed
    read.STREAM_ROWS = int(os.environ["EMULATOR_STREAM_ROWS"])
    sys.exit(serve())


if __name__ == "__main__":
    main()
