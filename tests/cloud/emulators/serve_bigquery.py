"""Main program of the BigQuery emulator, for the Python of `make emulators`.

DuckDB would download its extensions. Instead, the extensions that pip has installed are linked into
the directory that DuckDB reads, below $HOME, which must be a directory for this server alone.

The emulator makes one read stream for a small table; here a stream has EMULATOR_STREAM_ROWS rows.
The emulator decodes BYTES in Parquet files as Base64; here they are read unchanged.

Two changes save time. DuckDB gets one thread, because statements of a millisecond do not use
several. And a table is looked up in DuckLake's own tables, because `duckdb_tables()` counts the
rows of every table of the server.
"""

import functools
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
    from local_bigquery.engine import database
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
    database._connect = functools.cache(_with_one_thread(database._connect))
    database.objects = _looked_up(database.objects, database.fetch, quote)
    read.STREAM_ROWS = int(os.environ["EMULATOR_STREAM_ROWS"])
    sys.exit(serve())


def _with_one_thread(connect):
    def connect_with_one_thread():
        connection = connect()
        connection.execute("SET threads = 1")
        return connection

    return connect_with_one_thread


_OBJECTS = """
SELECT table_name, 'TABLE', coalesce(record_count, 0)
FROM {catalog}.ducklake_table AS t
JOIN {catalog}.ducklake_schema AS s USING (schema_id)
LEFT JOIN {catalog}.ducklake_table_stats AS c ON c.table_id = t.table_id
WHERE schema_name = $1 AND table_name = coalesce($2, table_name)
AND t.end_snapshot IS NULL AND s.end_snapshot IS NULL
UNION ALL
SELECT view_name, 'VIEW', 0
FROM {catalog}.ducklake_view AS v
JOIN {catalog}.ducklake_schema AS s USING (schema_id)
WHERE schema_name = $1 AND view_name = coalesce($2, view_name)
AND v.end_snapshot IS NULL AND s.end_snapshot IS NULL
ORDER BY 1
"""
"""Selects the tables and views of a dataset, in the form of the emulator's `objects`."""


def _looked_up(slow, fetch, quote):
    def objects(project_id, dataset_id, table_id=None):
        if project_id == "emulator":  # results of queries are not in DuckLake's tables
            return slow(project_id, dataset_id, table_id)
        catalog = quote(f"__ducklake_metadata_{project_id}")
        return fetch(_OBJECTS.format(catalog=catalog), [dataset_id, table_id])

    return objects


if __name__ == "__main__":
    main()
