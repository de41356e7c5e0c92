"""Rows of read streams: a server of the test's own, real sockets, real clients."""

import contextlib
import datetime
import decimal
import pickle
import threading
from concurrent import futures

import grpc
import numpy as np
import pyarrow as pa
import pytest
from google.cloud.bigquery_storage_v1 import types
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_batch_predict.batch import Chunk, Span, TableStream
from beam_batch_predict.encoding.arrow_rows import ArrowRows
from beam_batch_predict.encoding.json_columns import join_rows
from beam_batch_predict.errors import SourceError
from beam_batch_predict.gcp.bigquery import BigQueryClients
from beam_batch_predict.instances.convert import convert
from beam_batch_predict.sources import bigquery_rows
from beam_batch_predict.sources.bigquery_rows import read_stream, rows_of
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec import InstanceConfig
from beam_batch_predict.status import Code

SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
LATER = datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc)


class Server:
    """Serves one stream.

    Attributes:
        batches: its messages.
        faults: what is done to the first calls, a fault for each: (messages to send, code to
            end with, text).
        offsets: of the calls that came.
    """

    def __init__(self):
        self.batches, self.faults, self.offsets = [], [], []
        self.compression = None
        self.wrong_count = 0
        self.lock = threading.Lock()

    def read_rows(self, request, context):
        with self.lock:
            self.offsets.append(request.offset)
            fault = self.faults.pop(0) if self.faults else None
        sent, row = 0, 0
        for batch in self.batches:
            begin, row = row, row + batch.num_rows
            if row <= request.offset:
                continue
            if fault and sent == fault[0]:
                break
            rest = batch.slice(max(request.offset - begin, 0))
            # As the service does, only the first message of a call has the schema.
            schema = batch.schema.serialize().to_pybytes()
            yield types.ReadRowsResponse(
                arrow_record_batch={"serialized_record_batch": message(rest, self.compression)},
                row_count=rest.num_rows + self.wrong_count,
                arrow_schema={} if sent else {"serialized_schema": schema},
            )
            sent += 1
        if fault:
            context.abort(*fault[1:])


def message(batch, compression):
    """A batch as Arrow sends it, without its schema."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as stream:
        stream.write_batch(batch)
    _, content, *_ = pa.ipc.MessageReader.open_stream(sink.getvalue())
    return content.serialize().to_pybytes()


@contextlib.contextmanager
def serving():
    server = Server()
    handler = grpc.unary_stream_rpc_method_handler(
        server.read_rows,
        request_deserializer=types.ReadRowsRequest.deserialize,
        response_serializer=types.ReadRowsResponse.serialize,
    )
    with futures.ThreadPoolExecutor(4) as threads:
        listening = grpc.server(threads)
        listening.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE, {"ReadRows": handler})]
        )
        port = listening.add_insecure_port("127.0.0.1:0")
        listening.start()
        server.clients = BigQueryClients(
            storage_endpoint=f"127.0.0.1:{port}", insecure_storage=True
        )
        try:
            yield server
        finally:
            listening.stop(None).wait()


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(bigquery_rows, "FIRST_WAIT", 0.001)


def chunk_of(server, columns=("x",), expires=LATER, json_fields=None):
    stream = TableStream("projects/p/streams/s", expires, server.clients, json_fields or {})
    span = Span("bq://p.d.t, stream 3")
    return Chunk(0, 1, (span,), "bigquery", columns, stream=stream)


def numbers(sizes):
    """Messages with rows 0, 1, 2 and so on."""
    stops = np.cumsum([0, *sizes]).tolist()
    return [
        pa.record_batch({"x": pa.array(range(start, stop), pa.int64())})
        for start, stop in zip(stops, stops[1:], strict=False)
    ]


def read(chunk):
    """All rows and their places."""
    found = list(read_stream(chunk.spans[0], chunk))
    rows = [row for each in found for row in each.rows]
    return rows, [place for each in found for place in each.offsets]


def test_messages_follow_each_other_with_the_numbers_of_their_rows(server):
    server.batches = numbers([3, 1, 2])
    assert read(chunk_of(server)) == ([{"x": i} for i in range(6)], list(range(6)))
    assert server.offsets == [0]


def test_a_stream_without_messages_has_no_rows(server):
    assert read(chunk_of(server)) == ([], [])


def test_columns_come_in_the_order_of_the_plan(server):
    server.batches = [pa.record_batch({"b": [1], "a": ["é"], "c": [None]})]
    rows, _ = read(chunk_of(server, columns=("a", "b")))
    assert list(rows[0].items()) == [("a", "é"), ("b", 1)]


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_messages_may_be_compressed(server, compression):
    server.compression = compression
    server.batches = [pa.record_batch({"x": ["a" * 10_000] * 100})]
    assert read(chunk_of(server))[0] == [{"x": "a" * 10_000}] * 100


def test_a_large_message_comes_in_pieces_of_few_rows(server):
    server.batches = numbers([10_000])
    found = list(read_stream(Span("t"), chunk_of(server)))
    assert [len(each.rows) for each in found] == [4096, 4096, 1808]
    assert sum(each.size for each in found) >= 80_000


def test_rows_of_many_bytes_come_one_by_one():
    batch = pa.record_batch({"x": [b"x" * 5_000_000] * 3})
    assert [len(each.rows) for each in rows_of(batch, ["x"], {})] == [1, 1, 1]


def test_batches_name_the_stream_and_the_row(server):
    server.batches = numbers([3])
    [batch] = read_chunk(chunk_of(server), None, 64)
    assert batch.location(2) == "bq://p.d.t, stream 3, row 2"
    assert batch.last
    assert list(convert(batch, InstanceConfig()).instances) == [[0], [1], [2]]


# What goes wrong on the way.


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.UNAVAILABLE, "try again"),
        (grpc.StatusCode.UNKNOWN, "Stream removed"),
        (grpc.StatusCode.INTERNAL, "Received RST_STREAM with error code 2"),
        (grpc.StatusCode.INTERNAL, "something else of the server's"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "too slow"),
        (grpc.StatusCode.ABORTED, "moved"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests"),
        (grpc.StatusCode.CANCELLED, "the server went away"),
    ],
)
def test_a_stream_that_breaks_goes_on_behind_the_rows_that_came(server, code, text):
    server.batches = numbers([3, 4, 5])
    server.faults = [(2, code, text), (0, code, text)]
    assert read(chunk_of(server)) == ([{"x": i} for i in range(12)], list(range(12)))
    assert server.offsets[-1] == 7


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), max_size=6),
    faults=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from([grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL]),
        ),
        max_size=5,
    ),
)
def test_wherever_a_stream_breaks_each_row_comes_once(sizes, faults):
    with serving() as server:
        server.batches = numbers(sizes)
        server.faults = [(*fault, "broken") for fault in faults]
        rows, places = read(chunk_of(server))
    assert [row["x"] for row in rows] == places == list(range(sum(sizes)))


def test_faults_that_do_not_pass_end_the_work_and_name_the_row(server):
    server.batches = numbers([3, 4])
    server.faults = [(1, grpc.StatusCode.INTERNAL, "broken")] + [
        (0, grpc.StatusCode.INTERNAL, "broken for good")
    ] * 99
    with pytest.raises(SourceError) as raised:
        read(chunk_of(server))
    assert str(raised.value) == ("bq://p.d.t, stream 3, cannot be read from row 3: broken for good")
    assert raised.value.code is Code.INTERNAL
    assert len(server.offsets) == 7


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        (grpc.StatusCode.PERMISSION_DENIED, Code.PERMISSION_DENIED),
        (grpc.StatusCode.NOT_FOUND, Code.NOT_FOUND),
        (grpc.StatusCode.FAILED_PRECONDITION, Code.FAILED_PRECONDITION),
    ],
)
def test_a_refusal_of_bigquery_is_not_retried(server, code, ours):
    server.faults = [(0, code, "BigQuery Storage API has not been used in project 7 before")] * 9
    server.batches = numbers([1])
    with pytest.raises(SourceError, match="has not been used in project 7 before") as raised:
        read(chunk_of(server))
    assert raised.value.code is ours
    assert len(server.offsets) == 1
    assert "\n" not in str(raised.value)  # runners hand on the last line alone


def test_an_expired_session_is_distinguished_from_other_faults(server):
    server.faults = [(0, grpc.StatusCode.NOT_FOUND, "session not found")]
    server.batches = numbers([1])
    earlier = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc)
    with pytest.raises(SourceError) as raised:
        read(chunk_of(server, expires=earlier))
    message = str(raised.value)
    assert "stream 3: its read session ended at 2024-05-01 12:00:00 UTC" in message
    assert "six hours" in message
    assert "session not found" in message
    assert raised.value.code is Code.DEADLINE_EXCEEDED


def test_a_session_that_is_served_after_its_expiry_is_read(server):
    server.batches = numbers([1])
    earlier = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc)
    assert read(chunk_of(server, expires=earlier))[0] == [{"x": 0}]


def test_a_message_with_another_number_of_rows_than_it_says_is_refused(server):
    server.batches = numbers([3])
    server.wrong_count = 1
    with pytest.raises(SourceError, match="sent 3 rows, but announced 4"):
        read(chunk_of(server))


def test_a_message_that_is_no_arrow_batch_is_refused(server, monkeypatch):
    server.batches = numbers([1])
    monkeypatch.setitem(globals(), "message", lambda *_: b"\xff" * 64)
    with pytest.raises(SourceError, match="stream 3: BigQuery sent data that is not an Arrow"):
        read(chunk_of(server))


# What values become.

UTC = pa.timestamp("us", "UTC")
MONTH_DAY_NANO = pa.month_day_nano_interval()
RANGE = pa.struct([("start", pa.date32()), ("end", pa.date32())])
DAY = datetime.date(2018, 12, 31)

VALUES = [
    ("STRING", pa.string(), "é", "é"),
    ("INTEGER", pa.int64(), -(2**63), -(2**63)),
    ("FLOAT", pa.float64(), 0.1, 0.1),
    ("BOOLEAN", pa.bool_(), True, True),
    ("NUMERIC", pa.decimal128(38, 9), decimal.Decimal("4925.5"), 4925.5),
    ("BIGNUMERIC", pa.decimal256(76, 38), decimal.Decimal("-0.1"), -0.1),
    ("BYTES", pa.binary(), b"\x00\xff", {"b64": "AP8="}),
    (
        "TIMESTAMP",
        UTC,
        datetime.datetime(2019, 1, 1, 23, 59, 59, 999999, datetime.timezone.utc),
        "2019-01-01 23:59:59.999999+00:00",
    ),
    ("DATETIME", pa.timestamp("us"), datetime.datetime(2019, 1, 1), "2019-01-01T00:00:00"),
    ("DATE", pa.date32(), DAY, "2018-12-31"),
    ("TIME", pa.time64("us"), datetime.time(23, 59, 59, 999999), "23:59:59.999999"),
    ("GEOGRAPHY", pa.string(), "POINT(1 2)", "POINT(1 2)"),
    ("RANGE", RANGE, {"start": DAY, "end": None}, {"start": "2018-12-31", "end": None}),
    ("JSON", pa.string(), '{"a": [1, null, "x"]}', {"a": [1, None, "x"]}),
    ("JSON", pa.string(), "null", None),
    ("JSON", pa.string(), '"text"', "text"),
    ("JSON", pa.string(), "18446744073709551615", 18446744073709551615),
    ("INTERVAL", pa.string(), "1-2 3 4:5:6.500", "1-2 3 4:5:6.500"),
    ("INTERVAL", MONTH_DAY_NANO, (14, 3, 14_706_500_000_000), "1-2 3 4:5:6.500"),
    ("INTERVAL", MONTH_DAY_NANO, (-14, -3, -1_000), "-1-2 -3 -0:0:0.000001"),
    ("INTERVAL", MONTH_DAY_NANO, (0, 0, 0), "0-0 0 0:0:0"),
]


@pytest.mark.parametrize(
    ("kind", "arrow", "value", "expected"), VALUES, ids=[str(row[:3]) for row in VALUES]
)
def test_values_are_those_of_the_documented_table(kind, arrow, value, expected):
    record = pa.struct([("a", arrow), ("l", pa.list_(arrow)), ("n", pa.int64())])
    batch = pa.record_batch(
        {
            "plain": pa.array([value, None], arrow),
            "repeated": pa.array([[value, value], []], pa.list_(arrow)),
            "record": pa.array([{"a": value, "l": [value], "n": 1}, None], record),
            "records": pa.array([[{"a": None, "l": [], "n": 2}], []], pa.list_(record)),
        }
    )
    inner = {"a": True, "l": True}
    kinds = {"plain": True, "repeated": True, "record": inner, "records": inner}
    [found] = rows_of(batch, batch.schema.names, kinds if kind == "JSON" else {})
    assert isinstance(found.rows, ArrowRows)
    assert list(found.rows) == [
        {
            "plain": expected,
            "repeated": [expected, expected],
            "record": {"a": expected, "l": [expected], "n": 1},
            "records": [{"a": None, "l": [], "n": 2}],
        },
        {"plain": None, "repeated": [], "record": None, "records": []},
    ]


@pytest.mark.parametrize("arrow", [pa.string(), pa.large_string()])
def test_json_stays_a_column_that_is_cut_joined_taken_and_sent(arrow):
    texts = pa.array(['{"a": 1}', None, "[2]", '"x"'], arrow)
    batch = pa.record_batch({"j": texts, "n": pa.array([1.5, 2.5, 3.5, 4.5])})
    [found] = rows_of(batch, ["j", "n"], {"j": True})
    rows, values = found.rows, [{"a": 1}, None, [2], "x"]
    assert rows.column("j") == values
    assert (rows[:1] + rows[2:]).column("j") == [{"a": 1}, [2], "x"]
    assert rows.take([3, 0]).column("j") == ["x", {"a": 1}]
    assert pickle.loads(pickle.dumps(rows[1:3])).column("j") == [None, [2]]
    assert join_rows(rows.pieces())[0] == b'{"j":{"a":1},"n":1.5}'
    assert rows.table.schema.field("n").type == pa.float64()


def test_intervals_stay_a_column_that_is_cut_joined_taken_and_sent():
    batch = pa.record_batch({"v": pa.array([(1, 2, 3), None, (4, 5, 6)], MONTH_DAY_NANO)})
    [found] = rows_of(batch, ["v"], {})
    rows, values = found.rows, ["0-1 2 0:0:0.000000003", None, "0-4 5 0:0:0.000000006"]
    assert rows.column("v") == values
    assert rows.take([2, 0]).column("v") == [values[2], values[0]]
    assert pickle.loads(pickle.dumps(rows[1:] + rows[:1])).column("v") == [*values[1:], values[0]]


def test_a_text_that_is_no_json_stays_a_text():
    [found] = rows_of(pa.record_batch({"j": ["{", "1"]}), ["j"], {"j": True})
    assert found.rows.column("j") == ["{", 1]


def test_what_bigquery_says_of_a_column_beside_its_type_is_left_out():
    note = {b"ARROW:extension:name": b"google:sqlType:datetime"}
    field = pa.field("x", pa.timestamp("us"), metadata=note)
    batch = pa.record_batch([pa.array([0], pa.timestamp("us"))], schema=pa.schema([field]))
    [found] = rows_of(batch, ["x"], {})
    assert found.rows.table.schema.field("x").metadata is None
    assert list(found.rows) == [{"x": "1970-01-01T00:00:00"}]
