"""Tables and lists of records: each row a document, bad rows named, texts byte for byte."""

from __future__ import annotations

import csv
import datetime
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlace.errors import InputError
from interlace.text.formats import delimited, json_file, jsonl, parquet, plain
from interlace.text.records import Fields, identify
from interlace.types import Document, Skipped

#: What people write: no halves of characters, no control characters but blanks.
TEXTS = st.text(
    st.one_of(
        st.sampled_from("\t\r\n\"',;|#\\ \u2028äß東🦆"),
        st.characters(exclude_categories=("Cs", "Cc")),
    ),
    max_size=60,
)


def read(reader, data: bytes, fields: Fields = Fields()) -> list[Document | Skipped]:  # noqa: B008
    return list(reader(io.BytesIO(data), "a.x", fields))


def texts(reader, data: bytes, fields: Fields = Fields()) -> list[str]:  # noqa: B008
    documents = read(reader, data, fields)
    assert all(isinstance(one, Document) for one in documents), documents
    return [one.text for one in documents]


def file(shared_data, name: str) -> bytes:
    return (shared_data("messy") / name).read_bytes()


# ── CSV ──────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(TEXTS, max_size=6), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_c13_csv_keeps_every_byte(rows, delimiter, line_end):
    target = io.StringIO()
    # The csv module of Python 3.11 leaves a carriage return unquoted, where a table must not.
    quoting = csv.QUOTE_NONNUMERIC
    writer = csv.writer(target, delimiter=delimiter, lineterminator=line_end, quoting=quoting)
    writer.writerows([["id", "text"], *([n, row] for n, row in enumerate(rows))])
    documents = read(delimited.read_csv, target.getvalue().encode())
    assert [(one.id, one.text) for one in documents] == [(str(n), t) for n, t in enumerate(rows)]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("spectrum-empty", ["a: 1", "a: 2\nb: 3\nc: 4"]),
        ("spectrum-utf8", ["a: 1\nb: 2\nc: 3", "a: 4\nb: 5\nc: ʤ"]),
        ("spectrum-escaped_quotes", ['a: 1\nb: ha "ha" ha', "a: 3\nb: 4"]),
        ("spectrum-quotes_and_newlines", ['a: 1\nb: ha \n"ha" \nha', "a: 3\nb: 4"]),
        (
            "spectrum-newlines_crlf",
            ["a: 1\nb: 2\nc: 3", "a: Once upon \na time\nb: 5\nc: 6", "a: 7\nb: 8\nc: 9"],
        ),
        (
            "mskanji",
            [
                "名前: 佐藤太郎\n年齢: 30\n住所: 東京",
                "名前: 三木英子\n年齢: 25\n住所: 大阪",
                "名前: 髙橋淳\n年齢: 35\n住所: 名古屋",
            ],
        ),
    ],
)
def test_small_real_tables(shared_data, name, rows):
    assert texts(delimited.read_csv, file(shared_data, f"tables/{name}.csv")) == rows


def test_a_table_with_semicolons(shared_data):
    documents = read(delimited.read_csv, file(shared_data, "tables/csv-semicolon.csv"))
    assert len(documents) == 5
    assert documents[3].metadata["Company"] == "Dominguez;Mcmillan and Donovan"
    assert documents[3].metadata["Country"] == "Dominican Republic"


def test_a_table_in_latin_1(shared_data):
    data = file(shared_data, "tables/avengers.csv")
    documents = read(delimited.read_csv, data)
    assert len(documents) == 173
    expected = list(csv.DictReader(io.StringIO(data.decode("cp1252"), newline="")))
    assert [one.metadata["Name/Alias"] for one in documents] == [
        row["Name/Alias"] for row in expected
    ]


@pytest.mark.parametrize(("name", "n"), [("castle-solutions-2.csv", 902), ("seed_tasks.csv", 80)])
def test_free_text_with_quotes_and_line_ends(shared_data, name, n):
    data = file(shared_data, f"tables/{name}")
    column = {"castle-solutions-2.csv": "Why did you choose your troop deployment?"}.get(
        name, "instruction"
    )
    expected = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert len(expected) == n
    assert texts(delimited.read_csv, data, Fields(text=(column,))) == [
        row[column] for row in expected
    ]


def test_lines_are_those_where_rows_begin():
    data = b'id,text\n1,"two\nlines"\n\n2,next\n'
    assert [one.line for one in read(delimited.read_csv, data)] == [2, 5]


def test_broken_rows_are_named_and_reading_goes_on():
    data = b'id,text\n1,a\n2,b,c\n3\n4,"never closed\n5,e\n6,f\n'
    assert read(delimited.read_csv, data) == [
        Document("a", "1", line=2),
        Skipped(
            "a.x, line 3",
            "3 fields where the header has 2; put fields that hold a delimiter in double quotes",
        ),
        Skipped(
            "a.x, line 4",
            "1 fields where the header has 2; put fields that hold a delimiter in double quotes",
        ),
        Skipped(
            "a.x, line 5",
            "bad CSV (a quote is not closed); quotes inside a quoted field are doubled",
        ),
        Document("e", "5", line=6),
        Document("f", "6", line=7),
    ]


def test_a_quote_that_is_never_closed_swallows_no_file():
    n = 25_000
    data = 'id,text\n0,"open\n' + "".join(f"{i},t\n" for i in range(1, n))
    first, *others = read(delimited.read_csv, data.encode())
    assert isinstance(first, Skipped)
    assert len(others) == n - 1


def test_columns_without_a_name_or_with_the_same_one():
    (document,) = read(delimited.read_csv, b"ID,Text,a,,a\n7,hello,x,y,z\n")
    assert (document.id, document.text) == ("7", "hello")
    assert document.metadata == {"a": "x", "column 4": "y", "a 2": "z"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1251"])
def test_tables_in_other_encodings(encoding):
    data = "id;text\r\n1;Привет, мир и все остальные\r\n".encode(encoding)
    assert texts(delimited.read_csv, data) == ["Привет, мир и все остальные"]


# ── TSV ──────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(TEXTS.map(lambda t: "".join(c for c in t if c not in "\t\r\n")), min_size=1))
def test_c13_tsv_keeps_every_byte(rows):
    data = "".join(f"id{n}\t{row}\n" for n, row in enumerate(rows)).encode()
    documents = read(delimited.read_tsv, data)
    assert [(one.id, one.text) for one in documents] == [(f"id{n}", t) for n, t in enumerate(rows)]


def test_tsv_with_a_header():
    data = b'id\ttext\tyear\n1\tsays "hi\t2020\n2\tone\n'
    assert read(delimited.read_tsv, data) == [
        Document('says "hi', "1", {"year": "2020"}, line=2),
        Skipped(
            "a.x, line 3",
            "2 fields where the header has 3; put fields that hold a delimiter in double quotes",
        ),
    ]


def test_real_tsv(shared_data):
    first, second, *_, last = texts(
        delimited.read_tsv, file(shared_data, "tables/stanley-cups.tsv")
    )
    assert first == "Stanley Cups: Team\ncolumn 2: Location\ncolumn 3: Stanley Cups"
    assert second == "Stanley Cups: Blues\ncolumn 2: STL\ncolumn 3: 1"
    assert last.endswith("TOR\ncolumn 3: 15")


def test_comments_at_the_top_are_passed_over():
    data = b"# made by a program\n#\nname\ttext\tn\na\thello\t1\nb\t# no comment\t2\n"
    assert texts(delimited.read_tsv, data) == ["hello", "# no comment"]


def test_what_is_no_table_is_a_text(shared_data):
    data = file(shared_data, "tables/zone1970.tab")
    assert texts(delimited.read_tsv, data) == [data.decode()]
    assert texts(delimited.read_tsv, b"just\nlines\n") == ["just\nlines\n"]


def test_a_huge_text_that_is_no_table_comes_in_parts(monkeypatch):
    monkeypatch.setattr(plain, "PART_CHARACTERS", 1_000)
    data = "".join(f"line {n}\n" for n in range(1_000))
    documents = read(delimited.read_tsv, data.encode())
    assert "".join(one.text for one in documents) == data
    assert [one.line for one in documents] == [int(one.text.split()[1]) + 1 for one in documents]
    assert max(len(one.text) for one in documents) <= 1_000


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(TEXTS, min_size=1, max_size=6), st.booleans())
def test_c13_json_keeps_every_byte(rows, ascii_only):
    records = [{"id": n, "text": row} for n, row in enumerate(rows)]
    one_a_line = "\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in records)
    as_list = json.dumps(records, ensure_ascii=ascii_only)
    for reader, data in ((jsonl.read, one_a_line), (json_file.read, as_list)):
        documents = read(reader, data.encode())
        assert [(one.id, one.text) for one in documents] == list(enumerate(rows))


def test_real_json_lines(shared_data):
    data = file(shared_data, "tables/seed_tasks.jsonl")
    records = [json.loads(line) for line in data.splitlines()]
    documents = read(jsonl.read, data, Fields(text=("instruction",)))
    assert [one.id for one in documents] == [one["id"] for one in records]
    assert [one.text for one in documents] == [one["instruction"] for one in records]
    assert [one.line for one in documents] == list(range(1, 81))
    assert documents[0].metadata["is_classification"] is False
    assert documents[0].metadata["instances"] == records[0]["instances"]


def test_a_bad_line_is_named_and_reading_goes_on(shared_data):
    documents = read(jsonl.read, file(shared_data, "broken/bad-line.jsonl"))
    (bad,) = (one for one in documents if isinstance(one, Skipped))
    assert bad.where == "a.x, line 4"
    assert bad.why.startswith("bad JSON (")
    assert len(documents) == 7
    assert [one.line for one in documents if isinstance(one, Document)] == [1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": NaN}', "NaN is no JSON number"),
        (b"[" * 200_000, "nested too deep"),
        (b'{"text": "a"', "Expecting ',' delimiter, column"),
        (b"5", "neither an object nor a text but int"),
    ],
)
def test_bad_lines(line, reason):
    skipped, document = read(jsonl.read, line + b'\n\n{"text": "after"}\n')
    assert isinstance(skipped, Skipped)
    assert reason in skipped.why
    assert document == Document("after", identify("after"), line=3)


@pytest.mark.parametrize(
    "data",
    [b'["a", "b"]', b'[{"text": "a"}, {"text": "b"}]', b'{"data": [{"text": "a"}, {"text": "b"}]}'],
)
def test_lists_of_records(data):
    assert texts(json_file.read, data) == ["a", "b"]


@pytest.mark.parametrize("data", [b'{"a": 1, "b": [2]}', b"[1, 2]", b"{not json", b'{"a": []}'])
def test_any_other_json_is_a_text(data):
    assert read(json_file.read, data) == [Document(data.decode(), syntax="json", line=1)]


def test_real_json_of_settings(shared_data):
    data = file(shared_data, "code/package.json")
    assert texts(json_file.read, data) == [data.decode()]


def test_large_json_is_refused(monkeypatch):
    monkeypatch.setattr(json_file, "BYTES_MAX", 10)
    with pytest.raises(InputError, match=r"Convert it to JSON lines \(\.jsonl\)"):
        read(json_file.read, b'["aaaaaaaaaa"]')


# ── Parquet ──────────────────────────────────────────────────────────────────────────────────


def test_parquet_keeps_types_and_loses_no_row():
    arrow = pytest.importorskip("pyarrow")
    write_table = pytest.importorskip("pyarrow.parquet").write_table
    table = arrow.table(
        {
            "id": [1, 2],
            "text": ["a\r\n\tß", "b"],
            "score": [0.5, float("nan")],
            "day": [datetime.date(2020, 1, 2), None],
            "deep": [{"on": datetime.date(2020, 1, 2)}, {"on": None}],
            "tags": [["x", "y"], []],
        }
    )
    target = io.BytesIO()
    write_table(table, target)
    first, second = read(parquet.read, target.getvalue())
    assert first == Document(
        "a\r\n\tß",
        1,
        {"score": 0.5, "day": "2020-01-02", "deep": {"on": "2020-01-02"}, "tags": ["x", "y"]},
    )
    assert second == Document(
        "b", 2, {"score": None, "day": None, "deep": {"on": None}, "tags": []}
    )


def test_parquet_in_many_batches():
    arrow = pytest.importorskip("pyarrow")
    write_table = pytest.importorskip("pyarrow.parquet").write_table
    target = io.BytesIO()
    table = arrow.table({"text": [f"row {n}" for n in range(2_500)]})
    write_table(table, target, row_group_size=700)
    assert texts(parquet.read, target.getvalue()) == [f"row {n}" for n in range(2_500)]


def test_what_is_no_parquet():
    pytest.importorskip("pyarrow")
    assert read(parquet.read, b"") == [Skipped("a.x", "empty")]
    with pytest.raises(InputError, match="no Parquet, or damaged"):
        read(parquet.read, b"PAR1 not at all")
