"""CSV files to records: headers, borders of chunks, and cells with line breaks."""

import csv
import gzip
import io
import sys
import tracemalloc
from itertools import pairwise, product

import pytest
from helpers.examples import examples
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from beam_batch_predict import files
from beam_batch_predict.batch import Span
from beam_batch_predict.encoding.csv_text import CsvError, leaves_open, split_cells
from beam_batch_predict.errors import SourceError
from beam_batch_predict.files import File, open_file
from beam_batch_predict.sources import compression, csv_files
from beam_batch_predict.sources.csv_files import read_columns, read_csv_lines, read_csv_records
from beam_batch_predict.sources.planning import plan
from beam_batch_predict.sources.reading import read_chunk
from beam_batch_predict.spec.sources import Csv
from beam_batch_predict.status import Status

BOM = b"\xef\xbb\xbf"
FROM_FILE = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=examples(150),
)


@pytest.fixture
def store(tmp_path):
    """A function from contents to a pattern of files, in this order."""

    def write(*contents, suffix=""):
        for at, content in enumerate(contents):
            content = gzip.compress(content) if suffix == ".gz" else content
            (tmp_path / f"{at}.csv{suffix}").write_bytes(content)
        return str(tmp_path / f"*.csv{suffix}")

    return write


def columns_of(pattern, multiline=False, **options):
    return read_columns(files.match(pattern), open_file, multiline, **options)


def placed_rows(pattern, **options):
    """The rows of all chunks of a plan with (file, offset), and no file failed."""
    found = []
    for chunk in plan(Csv(pattern, **options), files.match):
        for batch in read_chunk(chunk, open_file, 3):
            assert not batch.source_failures
            assert batch.columns == chunk.columns
            places = [batch.location(at).rpartition("/")[2] for at in range(len(batch))]
            found += zip(places, batch.rows, strict=True)
    return found


def rows_of(pattern, **options):
    return [row for _, row in placed_rows(pattern, **options)]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"id,x\n1,2\n", ("id", "x")),
        (b"id,x", ("id", "x")),
        (b"id,x\r\n1,2\r\n", ("id", "x")),
        (BOM + b"id,x\r\n1,2\r\n", ("id", "x")),
        (BOM + b'"id","x"\n', ("id", "x")),
        (b'"a, b","say ""hi"""\n', ("a, b", 'say "hi"')),
        (b'id, x ,\t"y " \n', ("id", "x", "y ")),
        (b"\n\r\n  \nid,x\n1,2\n", ("id", "x")),
        ("größe,名前\n".encode(), ("größe", "名前")),
        (b"0,1,2\n", ("0", "1", "2")),  # as pandas numbers columns
        (b",0,1\n", ("column_1", "0", "1")),
        (b"2019,2020\n", ("2019", "2020")),
        (b'"1","2"\n', ("1", "2")),
        (b"sample,400.5,401,1e3\n", ("sample", "400.5", "401", "1e3")),
        (b"id,1,2\na,0.5,0.1\n", ("id", "1", "2")),
        (b"code,2019,2020\nAND,1.2,1900\n", ("code", "2019", "2020")),
        (b"city,0\nRome,0\nOslo,7\n", ("city", "0")),
        (b"two words\n1 2\nroute 66\n3\n", ("two words",)),
        (b'"two words"\n1 2\n', ("two words",)),
        (b"only\n", ("only",)),
    ],
)
@pytest.mark.parametrize("multiline", [False, True])
def test_the_first_row_names_the_columns(store, content, names, multiline):
    assert columns_of(store(content), multiline) == names


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id,x,id\n1,2,3\n", '"id" is the name of columns 1 and 3; rename all'),
        (b'id, x,"x"\n', '"x" is the name of columns 2 and 3; rename all'),
        (
            b"y,x,,y,x,y,\n",
            '"y" is the name of columns 1, 4 and 6, and 1 more like it',
        ),
        *(
            (row, "it looks like data: ")
            for row in (b"1,2", b"5", b"-1.5", b"1e5,+2", b" 7 ,8", b",3,4", b"1,0", b"0,1,3")
        ),
        (b"5.1,3.5,1.4,0.2,setosa", 'it looks like data: "5.1", "3.5", "1.4", "0.2", "setosa"; if'),
        (b'0,3,"Braund, Mr.",male,22.0,1,0,7.25,,S', "--csv_header=none"),
        (b"Adelie,39.1,181\nGentoo,45.1,200\n", 'it looks like data: "Adelie", "39.1", "181"; if'),
        (b"Adelie,Torgersen,39.1,male\nGentoo,Biscoe,45,female\n", "it looks like data: "),
        (b"a,0.2,1.4,3\nb,0.3,1.5,4\n", "it looks like data: "),
        (b"Adelie,2007\nGentoo,2008\n", "it looks like data: "),
        (b"a good film,1\na bad film,0\n", "it looks like data: "),
        (b"a,b,\\N\n", "it looks like data: "),
        (b"3,4,a,b\n1,2,3,4,5\n1,2,3,4,5\n", "it has 4 cells and each row below 5: it seems to be"),
        (b"Chins Situps\n5 162\n2 110\n", "its cells seem to be separated by blanks; write commas"),
        (b"0.01  0.083\n0.02  0.084\n", "its cells seem to be separated by blanks; write commas"),
        (b"1,1", "if this is the header, set --csv_header=first_row"),
        (b",\n1,2\n", "all names are empty; a CSV source needs a header row"),
        (b'""\n', "all names are empty"),
        (b'id,"x\n1,2\n', "is not closed"),
        (b'id,x"y\n', "there is a quote inside the cell"),
        (b'{"x": 1, "y": 2}\n', "it is a line of JSON; set instancesFormat to jsonl"),
        (b"[1, 2]\n[3, 4]\n", "it is a line of JSON; set instancesFormat to jsonl"),
        (b"x,y\n1,a,b\n2,c,d\n", "it has 2 cells and each row below 3: it seems to be a title"),
        (b"id,caf\xe9\n", "invalid UTF-8: byte 0xe9 at column 7; save the file as UTF-8"),
    ],
)
def test_a_first_row_that_is_no_header_stops_the_job(store, content, words):
    with pytest.raises(SourceError, match=r"0\.csv: the first row is not a header") as caught:
        columns_of(store(content))
    assert words in caught.value.status.message


@pytest.mark.parametrize("bad", [b'0,"a \\"q\\" b"', b"0,caf\xe9"])
@pytest.mark.parametrize("multiline", [False, True])
def test_without_headers_a_valid_row_shows_the_columns(store, bad, multiline):
    rows = bad + b"\n1,b\n"
    assert columns_of(store(rows), multiline, header="none") == ("column_1", "column_2")
    with pytest.raises(SourceError, match="first row does not show the columns: "):
        columns_of(store(bad), multiline, header="none")


@pytest.mark.parametrize(
    "content",
    [
        b"x\r1\r2\r3\r",
        b"x\r1",
        b"id,x\r1,2\r3,4",
        b'"id","x"\r"1","2"\r',
        BOM + b"\rid,x\r1,2\r",
        b"id,x\r1,2\n3,4\n",
        b"id,x\r\r\n1,2\r\r\n",
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("multiline", [False, True])
def test_a_header_whose_line_ends_with_a_carriage_return_alone_stops_the_job(
    store, content, suffix, multiline
):
    with pytest.raises(SourceError, match="lines end with a carriage return only") as caught:
        columns_of(store(content, suffix=suffix), multiline)
    assert r"tr '\r' '\n'" in caught.value.hint


def test_a_file_that_is_one_line_is_refused_by_its_first_block(monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", 16)
    opened = []

    def open_once(uri):
        opened.append(io.BytesIO("größe,x\r12é".encode() + b"1,2\r" * 1000))
        opened[-1].close = lambda: None
        return opened[-1]

    with pytest.raises(SourceError, match="carriage return"):
        read_columns([File("in.csv", 4014)], open_once)
    assert [file.tell() for file in opened] == [16]


@pytest.mark.parametrize("multiline", [False, True])
def test_a_later_file_of_one_line_is_a_row_and_never_a_header(store, multiline):
    one = b"x\r1\r2"
    assert rows_of(store(b"x\n1\n", one + b"\r"), multiline=multiline) == [b"1", one]
    two = b"id,x\r1,2\r3,4"
    assert rows_of(store(b"id,x\n1,2\n", two), multiline=multiline) == [b"1,2", two]


@pytest.mark.parametrize(
    ("header", "names"),
    [
        (b",x", ("column_1", "x")),
        (b"id,x,", ("id", "x", "column_3")),
        (b"id,,", ("id", "column_2", "column_3")),
        (b'id,""', ("id", "column_2")),
        (b"id, \t,y", ("id", "column_2", "y")),
        (b",column_1,column_1_,", ("column_1__", "column_1", "column_1_", "column_4")),
        (b"column_2,", ("column_2", "column_2_")),
        (b"column_3,x,", ("column_3", "x", "column_3_")),
    ],
)
def test_a_column_without_a_name_gets_one_by_its_number(store, header, names):
    row = b",".join([b"1"] * len(names))
    nothing = b"," * (len(names) - 1)
    pattern = store(
        header + b"\n" + row + b"\n",
        header + b"\n" + row + b"\n",  # the same header
        nothing + b"\n" + row + b"\n",  # a row of empty cells
    )
    assert columns_of(pattern) == names
    for multiline in (False, True):
        assert rows_of(pattern, multiline=multiline) == [row, row, nothing, row]


def test_a_name_with_a_line_break_needs_the_option(store):
    pattern = store(b'id,"width\r\n(cm)"\n1,2\n')
    with pytest.raises(SourceError, match="--csv_multiline=true"):
        columns_of(pattern)
    assert columns_of(pattern, multiline=True) == ("id", "width\r\n(cm)")
    assert rows_of(pattern, multiline=True) == [b"1,2"]


def test_a_header_that_cannot_be_read_stops_the_job(tmp_path):
    with pytest.raises(SourceError, match="header cannot be read"):
        read_columns([File(str(tmp_path / "gone.csv"), 7)], open_file)


@pytest.mark.parametrize("blank", [b"", b"\n", b" \r\n\r\n", BOM + b"\n"])
def test_the_header_is_that_of_the_first_file_with_a_row(store, blank):
    pattern = store(blank, b"id,x\n1,2\n", b"3,4\n")
    assert columns_of(pattern) == ("id", "x")
    assert rows_of(pattern) == [b"1,2", b"3,4"]


@pytest.mark.parametrize("multiline", [False, True])
def test_empty_files_have_neither_columns_nor_rows(store, multiline):
    pattern = store(b"", b"\n\n", b"")
    assert columns_of(pattern, multiline) == ()
    assert rows_of(pattern, multiline=multiline) == []


anyhow = pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (suffix, {"multiline": multiline, "chunk_bytes": size, "readers_per_file": readers})
        for suffix, multiline in product(["", ".gz"], [False, True])
        for size, readers in [(1, 1), (1, 3), (7, 1), (7, 3), (1000, 1)]
    ],
)
"""How a file can be cut and read."""


def rows_and_failures(pattern, **options):
    """The rows of all chunks, and what failed."""
    rows, failures = [], []
    for chunk in plan(Csv(pattern, **options), files.match):
        for batch in read_chunk(chunk, open_file, 3):
            rows += batch.rows
            failures += [status.message for status in batch.source_failures]
    return rows, failures


@anyhow
def test_later_files_may_have_the_header_or_not(store, suffix, options):
    pattern = store(
        b"id,x\n1,2\n",
        b"id,x\n3,4\n",  # the same
        b'\xef\xbb\xbf"id", "x"\r\n5,6\r\n',  # the same, written in another way
        b"7,8\n9,10\n",  # none
        b"id,y\n",  # one name of two: data
        b"x\n",
        b"id,x\n",  # nothing else
        b"\n\n id,x\n11,12\nid,x\n",  # below blank lines; and not in the first row
        suffix=suffix,
    )
    expected = [b"1,2", b"3,4", b"5,6", b"7,8", b"9,10", b"id,y", b"x", b"11,12", b"id,x"]
    assert rows_of(pattern, **options) == expected


@anyhow
@pytest.mark.parametrize(
    "header",
    [
        b"weight,height,name",
        b"Weight,HEIGHT,Name",
        b'\xef\xbb\xbf "weight" ,height ,\tname',
        b"\n  \n\r\nweight,height,name",
    ],
)
def test_the_cells_of_a_later_file_go_to_the_columns_of_its_header(store, header, suffix, options):
    rows = b'60,170,Bo\n"6,1",,"a ""b"""\r\n\n 7 , 8,9\n1,2\n1,2,3,4\n1,2,5" pipe\n\xff,1,2'
    pattern = store(
        b"height,weight,name\n1,2,3\n", header + b"\n" + rows, b"4,5,6\n", suffix=suffix
    )
    assert rows_of(pattern, **options) == [
        b"1,2,3",
        b"170,60,Bo",
        b',"6,1","a ""b"""',
        b" 8, 7 ,9",
        b"1,2",  # an error each: the row is as it is in the file
        b"1,2,3,4",
        b'1,2,5" pipe',
        b"\xff,1,2",
        b"4,5,6",
    ]


def test_a_cell_with_a_line_break_goes_to_its_column(store):
    pattern = store(b"a,b\n1,2\n", b'b,a\n"x\n\ny",1\n')
    assert rows_of(pattern, multiline=True) == [b"1,2", b'1,"x\n\ny"']


def test_names_that_differ_in_case_alone_are_compared_as_they_are(store):
    pattern = store(b"a,A,b\n1,2,3\n", b"A,a,b\n2,1,3\n", b"B,a,A\n1,2,3\n")
    found, (failure,) = rows_and_failures(pattern)
    assert found == [b"1,2,3", b"1,2,3"]
    assert '2.csv: the header differs from that of the first file: it also has "B"' in failure


@pytest.mark.parametrize("header", [b"x,,y", b"y,x,"])
def test_a_column_without_a_name_may_be_in_another_position(store, header):
    cells = {b"": b"0", b"x": b"1", b"y": b"2"}
    row = b",".join(cells[name] for name in header.split(b","))
    assert rows_of(store(b",x,y\n0,1,2\n", header + b"\n" + row)) == [b"0,1,2"] * 2


@anyhow
@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"id,height,mass", 'it also has "mass"; it lacks "weight"'),
        (b"id,height,weight,age", 'it also has "age"'),
        (b"age,weight,height,id", 'it also has "age"'),
        (b"ID, Height", 'it lacks "weight"'),
        (b"id,height,weight,id", 'it has more than once "id"'),
        (b"id,height,weight,", "it has 4 cells instead of 3"),
        (b'Report of May\n"# made by hand, twice"\nid,height,mass', 'it also has "mass"; it'),
    ],
)
def test_a_file_with_other_columns_fails_alone_and_once(store, header, words, suffix, options):
    pattern = store(
        b"id,height,weight\n1,2,3\n", header + b"\n4,5,6\n7,8,9\n", b"1,1,1\n", suffix=suffix
    )
    rows, (failure,) = rows_and_failures(pattern, **options)
    assert rows == [b"1,2,3", b"1,1,1"]
    assert f"1.csv{suffix}: the header differs from that of the first file: {words}" in failure


@anyhow
@pytest.mark.parametrize(
    "titles", [[b"Report of May"], [b"# a, b, c", b"#"], [b"Report,"], [b'5" pipe', b"\xff"]]
)
def test_titles_before_a_header_are_rows_and_the_cells_go_by_name(store, titles, suffix, options):
    header = b"\n".join([*titles, b"weight,height"])
    pattern = store(b"height,weight\n1,2\n", header + b"\n60,170\n", suffix=suffix)
    rows = rows_of(pattern, **options)
    # The titles have the wrong number of cells or no value; the header is a row that fails.
    assert rows[0] == b"1,2"
    assert rows[-2:] == [b"height,weight", b"170,60"]
    assert len(rows) == 3 + len(titles)


def test_a_header_behind_data_is_a_row(store):
    pattern = store(b"a,b\n1,2\n", b"3,4\nb,a\n5,6\n")
    assert rows_of(pattern) == [b"1,2", b"3,4", b"b,a", b"5,6"]


def test_numbers_as_names_in_another_order_are_doubtful(store):
    rows, (failure,) = rows_and_failures(store(b"0,1\n5,6\n", b"1,0\n7,8\n", b"0,1\n9,9\n"))
    assert rows == [b"5,6", b"9,9"]
    assert '1.csv: the first row, "1", "0", has the names of the columns in another' in failure


@anyhow
def test_files_without_headers_have_numbered_columns_and_lose_no_row(store, suffix, options):
    contents = [b"\n5.1,3.5\n1,2\n", b"a,b\n3,4\n", b"column_1,column_2\n", b"5.1,3.5\n"]
    pattern = store(*contents, suffix=suffix)
    assert columns_of(pattern, header="none") == ("column_1", "column_2")
    found = rows_of(pattern, header="none", **options)
    assert found == [line for content in contents for line in content.split(b"\n") if line]


def test_without_headers_the_first_row_must_be_readable(store):
    with pytest.raises(SourceError, match="the first row does not show the columns: invalid UTF-8"):
        columns_of(store(b"1,\xff\n"), header="none")
    assert columns_of(store(b"1,1,,\n"), header="none") == tuple(f"column_{n}" for n in range(1, 5))


@anyhow
def test_with_headers_in_all_files_each_first_row_is_one(store, suffix, options):
    pattern = store(
        b"10,20\n1,2\n", b"20,10\n4,3\n", b"5,6\n7,8\n", b'"\n9,9\n', b"10,20\n", suffix=suffix
    )
    rows, failures = rows_and_failures(pattern, header="first_row", **options)
    assert rows == [b"1,2", b"3,4"]
    one, two = failures
    assert f'2.csv{suffix}: the first row, "5", "6", does not have the names of the columns' in one
    assert f"3.csv{suffix}: the first row does not have the names" in two
    assert "--csv_header=auto reads such a row as data" in one


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a;b\n1;2\n", 'its cells seem to be separated by ";"; set --csv_delimiter=";"; if it is'),
        (b"a;b\n1,5;2,5\n", 'separated by ";"'),
        (b'"a";"b"\n"x";"1,5"\n', 'separated by ";"'),
        (b"a;b", 'separated by ";"'),
        (b"1;2\n3;4", 'separated by ";"'),
        (b"a\tb\tc\n1\t2\t3\n", 'separated by "\\t"; set --csv_delimiter=tab; if'),
        (b"a|b\n1|2\n", 'separated by "|"; set --csv_delimiter="|"; if'),
        (b"sep=;\na;b\n1;2\n", 'it only names the separator ";"; remove this line from each file'),
        (BOM + b'"sep=\t"\r\na\tb\n', "and set --csv_delimiter=tab"),
        (b"sep=,\na,b\n1,2\n", 'it only names the separator ","'),
    ],
)
@pytest.mark.parametrize("header", ["auto", "first_row", "none"])
@pytest.mark.parametrize("multiline", [False, True])
def test_another_separator_is_named(store, content, words, header, multiline):
    what = "does not show the columns: " if header == "none" else "is not a header: "
    with pytest.raises(SourceError, match=f"0.csv: the first row {what}") as caught:
        columns_of(store(content), multiline, header=header)
    assert words in caught.value.status.message


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (b"note; remark\nhello\n", {}),
        (b'"note; remark"\na;b\n', {}),
        (b"Hello, you\nBye, all\n", {"header": "none", "delimiter": "\t"}),
    ],
)
def test_one_column_of_texts_may_have_separators(store, content, options):
    assert len(columns_of(store(content), **options)) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"Report of May,,\nid,height,weight\n1,2,3\n",
        b"Report of May,,\n,,\nid,height,weight\n1,2,3\n",
        b'"Report, of May",\r\nname,city\r\nAnn,Bonn\r\n',
        b"Report of May\nid,height\n1,2\n",
        b"Report, of May\n\nid,height,weight\n1,2,3\n",
        b"Report of May\nid;height\n1;2\n",
        b"# made by hand\nid,height\n1,2\n",
        b"# made by hand\nx\n1\n",
        b"# made by hand\n# twice, for you\n#\nid,height\n1,2\n",
        b"# made, by hand\nid,height\n1,2\n",
        b"#made, by, hand\nid,height\n1,2\n",
        b"# a text\ntext\nhello\n",
        b"#made\nx\n1\n2\n",
    ],
)
@pytest.mark.parametrize("multiline", [False, True])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_title_above_the_header_stops_the_job(store, content, multiline, suffix):
    pattern = store(content, suffix=suffix)
    with pytest.raises(SourceError, match="it seems to be a title or a comment above") as caught:
        columns_of(pattern, multiline)
    assert "remove the lines above the header from the file" in caught.value.hint
    first, *_ = content.partition(b"\n")
    if b";" not in content:
        named = columns_of(pattern, multiline, header="first_row")
        assert len(named) == len(split_cells(first.decode()))


@pytest.mark.parametrize(
    "content",
    [
        b"id,,\n1,2,3\n",
        b"id,,\na,2,b\n",
        b"text,\nhello,\nyou,\n",
        b",x\n0,a\n1,b\n",
        b"#id,x\na,b\nc,d\n",
        b"# id,x\n1,b\n2,d\n",
        b"#tags\nhello\n7\nyou\n",
        b"#tags\n#hello\n#7\n",
        b"text\nhello, you\n",
        b"text\nhello, you\nbye\n",
        b"tags\na;b\nc;d\n",
        b"name,unit\nm,kg\n1,2\n",
        b"# id,x\n",
        b"id,x\n1,2,\n3,4,\n",
        b"[a],{b}\n1,2\n",
    ],
)
def test_a_header_that_looks_a_little_like_a_title_is_one(store, content):
    header = content.partition(b"\n")[0].decode()
    assert len(columns_of(store(content))) == len(header.split(","))


DELIMITERS = [";", "\t", "|", ":", "^", "\x01"]


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("multiline", [False, True])
@pytest.mark.parametrize("chunk_bytes", [7, 1000])
def test_other_delimiters_separate_cells(store, delimiter, multiline, chunk_bytes):
    def file(*rows):
        return b"\n".join(rows).replace(b"_", delimiter.encode())

    options = {"delimiter": delimiter, "multiline": multiline, "chunk_bytes": chunk_bytes}
    pattern = store(
        file(b"a_b", b"1,5_2", b'"x_y"_ "z"'),
        file(b"B_A", b"3_4,5", b'"y"_"x_""y"', b"1_2_3"),
        file(b"a_b", b"5_6"),
    )
    assert columns_of(pattern, delimiter=delimiter) == ("a", "b")
    assert b"\n".join(rows_of(pattern, **options)) == file(
        b"1,5_2", b'"x_y"_ "z"', b"4,5_3", b'"x_""y"_"y"', b"1_2_3", b"5_6"
    )


def test_cells_with_line_breaks_and_another_delimiter(store):
    pattern = store(b'a;b\n1;"x\ny"\n"p\nq";2\n')
    found = rows_of(pattern, multiline=True, delimiter=";")
    assert found == [b'1;"x\ny"', b'"p\nq";2']


@anyhow
@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"height;weight", 'the cells of the header seem to be separated by ";"'),
        (b"Weight\tHeight", "--csv_delimiter=tab"),
        (b"height;weight;age", 'separated by ";"'),
        (b'"height";"weight"', 'separated by ";"'),
        (b"sep=;\nheight;weight", 'the first line only names a separator, ";": remove this line'),
        (b"Report\nheight;weight", 'separated by ";"'),
    ],
)
def test_a_later_file_with_another_separator_fails_alone(store, header, words, suffix, options):
    pattern = store(b"height,weight\n1,2\n", header + b"\n3;4\n5;6\n", b"7,8\n", suffix=suffix)
    rows, (failure,) = rows_and_failures(pattern, **options)
    assert rows == [b"1,2", b"7,8"]
    assert f"1.csv{suffix}: " in failure
    assert words in failure


def test_one_column_has_a_header_in_the_first_row_alone(store):
    pattern = store(b"text\nhello\ntext", b"Text\nText\n", b"hello\ntext\n")
    assert rows_of(pattern) == [b"hello", b"text", b"Text", b"hello", b"text"]


def test_a_chunk_reads_no_more_than_the_start_of_its_file_for_the_header(store, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", 64)
    pattern = store(b"a,b\n1,2\n", b"b,a\n" + b"1,2\n" * 1000)
    read = []

    def counting(uri):
        file = open_file(uri)

        class Counting(io.BufferedReader):
            def read(self, size=-1):
                data = super().read(size)
                read.append(len(data))
                return data

        return Counting(file)

    chunk = plan(Csv(pattern, chunk_bytes=400), files.match)[-2]
    (span,) = chunk.spans
    assert span.start > 3000
    rows = [row for batch in read_chunk(chunk, counting, 3) for row in batch.rows]
    assert set(rows) == {b"2,1"}
    assert sum(read) < 400 + 4 * 64


def test_a_file_that_begins_with_megabytes_of_blank_lines_fails(store, monkeypatch):
    monkeypatch.setattr(csv_files, "LONGEST_HEADER", 20)
    pattern = store(b"a,b\n1,2\n", b"\n" * 30 + b"b,a\n1,2\n3,4\n")
    for chunk_bytes in (10, 1000):
        rows, failures = rows_and_failures(pattern, chunk_bytes=chunk_bytes)
        assert rows == [b"1,2"]
        assert all("its first 20 bytes are blank lines" in failure for failure in failures)
        assert failures


@pytest.mark.parametrize("header", [b"id,x", b"id,x\n", BOM + b'"id","x"\r\n'])
@pytest.mark.parametrize("multiline", [False, True])
def test_a_file_of_a_header_alone_has_no_rows(store, header, multiline):
    pattern = store(header)
    assert rows_of(pattern, multiline=multiline, chunk_bytes=3) == []
    assert columns_of(pattern) == ("id", "x")


def test_a_header_may_be_longer_than_chunks_and_blocks(store, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", 5)
    names = [f"column {number}" for number in range(100)]
    row = b",".join([b"1"] * 100)
    pattern = store(",".join(names).encode() + b"\n" + row + b"\n" + row)
    for chunk_bytes in (7, 100, 10_000):
        assert rows_of(pattern, chunk_bytes=chunk_bytes) == [row, row]
    assert columns_of(pattern) == tuple(names)


def test_a_header_of_megabytes_is_read(store):
    name = b"x" * 3_000_000  # the csv module of Python stops at 131,072
    pattern = store(b"id," + name + b"\n1,2\n")
    assert columns_of(pattern) == ("id", name.decode())
    assert rows_of(pattern) == [b"1,2"]


def test_rows_know_their_file_and_byte(store):
    pattern = store(BOM + b"id,x\r\n1,2\r\n\r\n3,4", b"id,x\n5,6\n")
    expected = [("0.csv, byte 9", b"1,2"), ("0.csv, byte 16", b"3,4"), ("1.csv, byte 5", b"5,6")]
    for options in ({}, {"chunk_bytes": 4}, {"multiline": True}):
        assert placed_rows(pattern, **options) == expected


# Python 3.10's own csv module, the oracle, cannot write NUL.
NUL = "\x00" if sys.version_info >= (3, 11) else ""
CELLS = st.text('ab1,." \t;é\u2028{[\\' + NUL, max_size=6)
RECORDS = st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=12)
ENDS = st.sampled_from(["\n", "\r\n"])


def written(records, end, header=("id", "x")):
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *records])
    return out.getvalue().encode()


def cells_of(row):
    return [cell.text for cell in split_cells(row.decode())]


@FROM_FILE
@given(
    records=RECORDS,
    end=ENDS,
    borders=st.lists(st.integers(1, 300), max_size=8),
    block=st.integers(1, 40),
)
@example(records=[["id", "x"]], end="\n", borders=[10], block=3)
def test_any_tiling_gives_each_record_once(records, end, borders, block, tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    path = tmp_path / "in.csv"
    content = written(records, end)
    path.write_bytes(content)
    cuts = sorted({0, len(content), *(border for border in borders if border < len(content))})
    found, offsets = [], []
    for start, stop in pairwise(cuts):
        for part in read_csv_lines(Span(str(path), start, stop), ("id", "x"), open_file):
            found += map(cells_of, part.rows)
            offsets += part.offsets
    oracle = list(csv.reader(io.StringIO(content.decode(), newline=""), strict=True))[1:]
    assert found == oracle == records
    assert all(content[at - 1 : at] == b"\n" for at in offsets)
    assert offsets == sorted(set(offsets))


@FROM_FILE
@given(
    records=st.lists(
        st.lists(st.text('a1," \r\n', max_size=8), min_size=2, max_size=2), max_size=10
    ),
    end=ENDS,
    block=st.integers(1, 30),
    bom=st.booleans(),
)
def test_records_of_several_lines_are_those_of_the_csv_module(
    records, end, block, bom, tmp_path, monkeypatch
):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    path = tmp_path / "in.csv"
    content = written(records, end)
    path.write_bytes(BOM * bom + content)
    parts = list(read_csv_records(Span(str(path)), ("id", "x"), open_file))
    assert [cells_of(row) for part in parts for row in part.rows] == records
    offsets = [at - 3 * bom for part in parts for at in part.offsets]
    assert all(content[at - 1 : at] == b"\n" for at in offsets)


@FROM_FILE
@given(content=st.text('a1,"\n', max_size=40), block=st.integers(1, 9))
def test_no_byte_of_a_file_is_lost_or_doubled(content, block, tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    path = tmp_path / "in.csv"
    path.write_text(content)
    parts = list(read_csv_records(Span(str(path)), (), open_file)) if content else []
    joined = "\n".join(row.decode() for part in parts for row in part.rows)
    assert [line for line in joined.split("\n") if line] == [x for x in content.split("\n") if x]


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_cells_hold_line_breaks_and_blank_lines(store, suffix):
    note = b'2,"two\r\n\r\nlines, ""and""\n\n more"'
    pattern = store(b'id,note\r\n"1",a\r\n' + note + b"\r\n\r\n3,b\r\n", suffix=suffix)
    assert rows_of(pattern, multiline=True, chunk_bytes=7) == [b'"1",a', note, b"3,b"]


def test_without_the_option_a_line_is_a_record(store):
    pattern = store(b'id,note\n1,"a\nb"\n2,c\n')
    assert rows_of(pattern) == [b'1,"a', b'b"', b"2,c"]


@pytest.mark.parametrize("bad", [b'1,"open', b'1,5" pipe', b'1,"a"b"'])
def test_a_wrong_quote_spoils_its_own_line_alone(store, bad):
    lines = [b"2,b", b'3,"c"', b'"4","d, e"', b"5,f"]
    pattern = store(b"id,x\n" + bad + b"\n" + b"\n".join(lines) + b"\n")
    assert rows_of(pattern, multiline=True) == [bad, *lines]


def test_an_unclosed_quote_needs_no_more_memory_than_the_limit_of_a_row(store, monkeypatch):
    monkeypatch.setattr(csv_files, "LONGEST_RECORD", 1000)
    monkeypatch.setattr(compression, "BLOCK_BYTES", 64)
    lines = [b"%d,x" % number for number in range(1000)]
    pattern = store(b'id,x\n0,"open\n' + b"\n".join(lines))
    assert rows_of(pattern, multiline=True) == [b'0,"open', *lines]
    assert rows_of(store(b'id,x\n0,"' + b"\n" * 900 + b'"\n1,2')) != []


def test_multiline_files_are_never_cut(store):
    pattern = store(b'id,x\n1,"\n"\n', b'2,"\n"\n')
    chunks = plan(Csv(pattern, chunk_bytes=3, multiline=True), files.match)
    assert [[(s.start, s.stop) for s in chunk.spans] for chunk in chunks] == [[(0, None)]] * 2


def test_a_row_like_the_header_in_the_middle_of_a_file_is_a_row(store):
    pattern = store(b"id,x\n1,2\nid,x\n3,4\n")
    for chunk_bytes in range(1, 20):
        assert rows_of(pattern, chunk_bytes=chunk_bytes) == [b"1,2", b"id,x", b"3,4"]


@given(st.text('a1," \t', max_size=12))
@settings(deadline=None, max_examples=examples(500))
def test_a_line_leaves_a_cell_open_if_a_quote_can_still_close_it(line):
    def is_valid(text):
        try:
            split_cells(text)
        except CsvError:
            return False
        return True

    assert leaves_open(line.encode()) == (not is_valid(line) and is_valid(line + '"'))


def test_millions_of_quotes_are_parsed_quickly():
    cell = '"' + '""' * 5_000_000
    with pytest.raises(CsvError, match="character 3 is not closed"):
        split_cells("1," + cell)
    assert leaves_open(cell.encode())


LONG = "the line is longer than the 10 bytes that --max_instance_bytes allows"


def found_with_limit(store, content, multiline, block, monkeypatch):
    """The rows of a file whose rows have 10 bytes at most: `LONG` for one that has more."""
    monkeypatch.setattr(compression, "BLOCK_BYTES", block)
    chunks = plan(
        Csv(store(content), multiline=multiline, max_instance_bytes=10, chunk_bytes=7), files.match
    )
    rows = [
        row for chunk in chunks for batch in read_chunk(chunk, open_file, 1) for row in batch.rows
    ]
    return [LONG if isinstance(row, Status) and LONG in row.message else row for row in rows]


@pytest.mark.parametrize("block", [1, 3, 8, 1000])
@pytest.mark.parametrize(
    ("content", "lines", "records"),
    [
        (b"1,2345678901\n3,4\n", [LONG, b"3,4"], None),
        (b'1,"2345678901"\n3,4', [LONG, b"3,4"], None),
        (b"1,234567890\n3,4", [LONG, b"3,4"], None),
        (b"1,23456789\n3,4", [b"1,23456789", b"3,4"], None),
        (b"1,2\n3," + b"4" * 500, [b"1,2", LONG], None),
        # records of several lines: closed, and too long together or in one line
        (b'1,"2\n\n345678"\n3,4', [b'1,"2', b'345678"', b"3,4"], [LONG, b"3,4"]),
        (b'1,"2\n3456"\n3,4', [b'1,"2', b'3456"', b"3,4"], [b'1,"2\n3456"', b"3,4"]),
        (b'1,"2345678901\n3"\n5,6', [LONG, b'3"', b"5,6"], [LONG, b"5,6"]),
        (b'1,"2\n345678901234\n5"\n7,8', [b'1,"2', LONG, b'5"', b"7,8"], [LONG, b"7,8"]),
        (b'1,"2\n345678901234"\n7,8', [b'1,"2', LONG, b"7,8"], [LONG, b"7,8"]),
        # nothing closes the quote
        (b'1,"2345678901\n3,4\n5,6', [LONG, b"3,4", b"5,6"], None),
        (b'1,"2\n3,4\n345678901234\n5,6', [b'1,"2', b"3,4", LONG, b"5,6"], None),
    ],
)
def test_a_row_that_is_too_long_fails_alone(store, content, lines, records, block, monkeypatch):
    content = b"a,b\n" + content
    assert found_with_limit(store, content, False, block, monkeypatch) == lines
    found = found_with_limit(store, content, True, block, monkeypatch)
    assert found == (lines if records is None else records)


def test_lines_after_a_quote_that_is_not_closed_are_kept_as_bytes(tmp_path, monkeypatch):
    """Lines of a byte each wait for the quote, which never comes."""
    monkeypatch.setattr(csv_files, "LONGEST_RECORD", 400_000)
    monkeypatch.setattr(csv_files, "_PIECE", 4096)
    monkeypatch.setattr(compression, "BLOCK_BYTES", 4096)
    path = tmp_path / "in.csv"
    path.write_bytes(b'a\n"\n' + b"x\n" * 150_000)
    tracemalloc.start()
    found = sum(
        len(part.rows) for part in csv_files.read_csv_records(Span(str(path)), ("a",), open_file)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == 150_001
    assert peak < 3_000_000


@pytest.mark.parametrize("multiline", [False, True])
def test_a_header_that_is_too_long_stops_the_job(store, multiline, monkeypatch):
    monkeypatch.setattr(csv_files, "LONGEST_HEADER", 20)
    pattern = store(b"a" * 21 + b",b\n1,2\n")
    with pytest.raises(SourceError, match="not a header: it is longer than 20 bytes"):
        columns_of(pattern, multiline)
    with pytest.raises(SourceError, match="not a header: it is longer than 5 bytes"):
        plan(Csv(store(b"abc,de\n1,2"), max_instance_bytes=5, multiline=multiline), files.match)
