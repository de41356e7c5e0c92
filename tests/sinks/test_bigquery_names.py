"""Names that BigQuery takes: of columns, datasets and tables."""

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_batch_predict.errors import InvalidArgument
from beam_batch_predict.sinks.formats.bigquery_names import (
    RESERVED_PREFIXES,
    acceptable,
    acceptable_names,
    dataset_of_run,
    refuse_clashes,
)
from beam_batch_predict.sinks.publish.bigquery_tables import output_tables
from beam_batch_predict.spec import BigQueryDestination

CREATED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, datetime.timezone.utc)
STAMP = "2026_01_02T03_04_05_678Z"


@given(st.lists(st.text(max_size=320) | st.sampled_from(["a b", "A_B", "a_b", "_table_"])))
def test_names_are_acceptable_and_differ_in_more_than_case(names):
    found = acceptable_names(names)
    assert len({name.lower() for name in found}) == len(names)
    for name in found:
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", name)
        assert not name.lower().startswith(RESERVED_PREFIXES)


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True), unique=True))
def test_names_that_bigquery_takes_are_kept(names):
    assert list(acceptable_names(names)) == names


def test_long_names_that_begin_alike_stay_apart():
    first, second, third = acceptable_names(["a" * 400, "a" * 300, "A" * 300])
    assert (first, second) == ("a" * 300, "a" * 299 + "_")
    assert third == "A" * 298 + "__"


@pytest.mark.parametrize("name", ["_PARTITIONTIME", "_file_name", "__root__x", "_Change_Type"])
def test_names_that_bigquery_keeps_for_itself_get_a_sign_in_front(name):
    assert acceptable(name) == f"_{name}"


@pytest.mark.parametrize("names", [["a b", "a_b"], ["x", "X"], ["1", "_1"], ["é", "ü"]])
def test_columns_that_would_have_one_name_are_refused(names):
    with pytest.raises(InvalidArgument, match="have the same name in BigQuery"):
        refuse_clashes(["other", *names])


def test_columns_that_differ_are_taken():
    refuse_clashes(["a", "b c", "prediction", "errors"])


@pytest.mark.parametrize(
    ("uri", "dataset", "predictions", "errors"),
    [
        ("bq://p", f"prediction_a_model__1_{STAMP}", "predictions", "errors"),
        ("bq://p.d", "d", f"predictions_{STAMP}", f"errors_{STAMP}"),
        ("p.d.t", "d", "t", "t_errors"),
    ],
)
def test_tables_of_a_run_are_named_as_the_service_does(uri, dataset, predictions, errors):
    tables = output_tables(BigQueryDestination(uri), "a modelé-1", CREATED)
    assert (tables.dataset, tables.predictions, tables.errors) == (dataset, predictions, errors)
    assert tables.new_dataset == (uri == "bq://p")


def test_times_are_in_utc():
    zone = datetime.timezone(datetime.timedelta(hours=-8))
    assert dataset_of_run("m", CREATED.astimezone(zone)) == f"prediction_m_{STAMP}"


def test_names_of_datasets_are_not_too_long():
    name = dataset_of_run("m" * 2000, CREATED)
    assert len(name) == 1024
    assert name.endswith(STAMP)


def test_projects_may_be_of_a_domain():
    assert BigQueryDestination("bq://example.com:p.d.t").parts == ("example.com:p", "d", "t")


@pytest.mark.parametrize(
    "uri", ["bq://", "bq://p/d", "gs://b/o", "p.d.t.x", "p..t", "p.d-e", "p.d.`t", "p.d.t$2024"]
)
def test_other_destinations_are_refused(uri):
    with pytest.raises(InvalidArgument, match="output_uri"):
        BigQueryDestination(uri)
