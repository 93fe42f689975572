"""Export and import: what comes back is what went in, whatever it was."""

from __future__ import annotations

import base64
import gzip
import json
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import interlace
from interlace.errors import CollectionError, InputError
from interlace.types import Document

FORMATS = ("jsonl", "jsonl.gz", "parquet")
DIM = 8

RECORDS = [
    {
        "id": 7,
        "text": "Rivers wash salt from rocks into the sea. " * 12,
        "metadata": {"year": 2021, "of": [1, 2.5, None, True, {"b": 2**200}], "t": "a\0b\u2028"},
    },
    {"id": "7", "text": "", "metadata": {}},
    {
        "id": "a\0b ☃",
        "text": "snow ☃\0 is white\x7f\x85 \U0001f600\r\n",
        "metadata": {"": {"": []}},
    },
    {"id": -(2**63), "text": "the smallest"},
]


def matrix(seed: int, n_tokens: int = 5) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n_tokens, DIM)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def everything(collection: interlace.Collection) -> list[Document]:
    """All documents in order; equal floats, ints and bools of other types are told apart."""
    return collection.get(list(collection.ids()))


def as_text(documents: list[Document]) -> str:
    return repr(documents)


def hits(collection: interlace.Collection, query: str) -> list[tuple]:
    return [
        (h.id, h.passage, h.start, h.end, h.line, h.page, h.headings, h.score)
        for h in collection.search(query, k=50, by="passage", effort="exhaustive")
    ]


@pytest.fixture
def filled(new_collection):
    made = new_collection("from.lace", passage_tokens=32)
    made.add(RECORDS)
    made.add(
        [
            Document(
                "# Sea\n\nSalt.\n\n## Tide\n\nThe moon pulls.\n" * 4,
                "doc",
                {"k": 1},
                "markdown",
                "docs/ü a.md",
                3,
            )
        ]
    )
    return made


# --- there and back ------------------------------------------------------------------------------
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("embeddings", [False, True])
def test_what_comes_back(filled, new_collection, tmp_path, format_, embeddings):
    report = filled.export(tmp_path / f"all.{format_}", embeddings=embeddings)
    assert (report.format, report.n_documents) == (format_, 5)
    assert report.n_bytes == (tmp_path / f"all.{format_}").stat().st_size
    assert report.n_passages == (filled.info()["n_passages"] if embeddings else 0)
    back = new_collection(f"{format_}.lace", passage_tokens=32)
    added = back.import_(tmp_path / f"all.{format_}")
    assert added.added == 5
    assert as_text(everything(back)) == as_text(everything(filled))
    for query in ("salt in the sea", "snow", "the moon"):
        assert hits(back, query) == hits(filled, query)
    assert back.verify().ok
    again = back.import_(tmp_path / f"all.{format_}")
    assert (again.unchanged, again.n_passages) == (5, 0)


def test_passages_stay_as_they_were_cut(filled, new_collection, tmp_path):
    """Also where this collection would cut them otherwise, and nothing is encoded."""
    filled.export(tmp_path / "all.jsonl", embeddings=True)
    back = new_collection("to.lace")
    report = back.import_(tmp_path / "all.jsonl")
    assert report.n_passages == filled.info()["n_passages"] > 5
    assert hits(back, "salt in the sea") == hits(filled, "salt in the sea")
    assert back.add([RECORDS[0]]).unchanged == 1


@pytest.mark.parametrize("format_", FORMATS)
def test_settled_embeddings_come_back_within_the_codec(filled, new_collection, tmp_path, format_):
    filled.settle()
    filled.export(tmp_path / f"all.{format_}", embeddings=True)
    back = new_collection("to.lace", passage_tokens=32)
    back.import_(tmp_path / f"all.{format_}")
    scores = [
        {(h.id, h.passage): h.mean_score for h in c.search("salt in the sea", k=50, by="passage")}
        for c in (filled, back)
    ]
    assert scores[1] == pytest.approx(scores[0], abs=0.03)


@pytest.mark.parametrize("format_", FORMATS)
def test_own_embeddings(tmp_path, format_):
    matrices = [matrix(i, i) for i in range(1, 6)]
    ids = [np.arange(i) for i in range(1, 6)]
    with interlace.create(tmp_path / "from", model=None, dim=DIM) as made:
        made.add(
            [{"id": i, "text": f"text {i}"} for i in range(5)], embeddings=matrices, token_ids=ids
        )
        made.export(tmp_path / f"x.{format_}", embeddings=True)
        made.export(tmp_path / f"bare.{format_}")
        with interlace.create(tmp_path / "to", model=None, dim=DIM) as back:
            assert back.import_(tmp_path / f"x.{format_}").n_tokens == 15
            assert everything(back) == everything(made)
            for one in matrices:
                found = [made.search(embeddings=one), back.search(embeddings=one)]
                assert [h.score for h in found[0]] == [h.score for h in found[1]]
            with pytest.raises(InputError, match=r"'passages' is not there.*no model"):
                back.import_(tmp_path / f"bare.{format_}")
        with (
            interlace.create(tmp_path / "wide", model=None, dim=DIM + 1) as wide,
            pytest.raises(InputError, match=rf"'dim' is {DIM}, and the collection's is {DIM + 1}"),
        ):
            wide.import_(tmp_path / f"x.{format_}")


def test_embeddings_of_another_model_are_left_out(new_collection, tmp_path):
    with interlace.create(tmp_path / "from", model=None, dim=DIM) as made:
        made.add([{"id": 1, "text": "The sea is salty."}], embeddings=[matrix(1)])
        made.export(tmp_path / "x.jsonl", embeddings=True)
    back = new_collection()
    with pytest.warns(UserWarning, match="embeddings of no model.*encoded with"):
        report = back.import_(tmp_path / "x.jsonl")
    assert report.n_tokens != 5
    assert back.search("salty sea")[0].id == 1


def test_the_file_is_of_one_commit(filled, tmp_path):
    def change(stage: str, done: int, total: int | None) -> None:
        if done == 1:
            with interlace.open(filled.path) as other:
                other.delete(list(other.ids()))

    report = filled.export(tmp_path / "x.jsonl", progress=change)
    assert report.n_documents == 5
    assert len((tmp_path / "x.jsonl").read_bytes().splitlines()) == 5


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**300), 2**300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
ids = st.text(min_size=1) | st.integers(-(2**63), 2**63 - 1)
documents = st.lists(
    st.builds(
        Document,
        text=st.text() | st.text(alphabet="\x7f\0\r\n\u2028é☃"),
        id=ids,
        metadata=st.dictionaries(st.text(), json_values, max_size=4),
        syntax=st.none() | st.sampled_from(["markdown", "python"]),
        file=st.none() | st.text(min_size=1),
        line=st.none() | st.integers(1, 2**40),
    ),
    max_size=6,
    unique_by=lambda document: (type(document.id), document.id),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents, st.sampled_from(FORMATS), st.integers(0, 9))
def test_any_documents_come_back(records, format_, seed):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        matrices = [matrix(seed + i, i % 4) for i in range(len(records))]
        with (
            interlace.create(root / "from", model=None, dim=DIM) as made,
            interlace.create(root / "to", model=None, dim=DIM) as back,
        ):
            made.add(records, embeddings=matrices)
            made.export(root / f"x.{format_}", embeddings=True)
            back.import_(root / f"x.{format_}")
            assert as_text(everything(back)) == as_text(everything(made))
            assert as_text(everything(back)) == as_text(records)
            for one in matrices:
                if len(one):
                    found = [c.search(embeddings=one, k=99) for c in (made, back)]
                    assert [(h.id, h.score) for h in found[0]] == [
                        (h.id, h.score) for h in found[1]
                    ]


# --- what others make of it ----------------------------------------------------------------------
def test_a_line_can_be_read_without_interlace(filled, tmp_path):
    filled.export(tmp_path / "x.jsonl", embeddings=True)
    lines = [json.loads(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines()]
    assert [line["id"] for line in lines] == list(filled.ids())
    first = lines[0]
    assert first["metadata"] == RECORDS[0]["metadata"]
    one = first["passages"][0]
    vectors = np.frombuffer(base64.b64decode(one["embeddings"]), "<f2").reshape(-1, first["dim"])
    assert len(vectors) == len(one["token_ids"])
    assert np.linalg.norm(vectors.astype(np.float32), axis=1) == pytest.approx(1, abs=1e-2)


def test_a_table_can_be_read_without_interlace(filled, tmp_path):
    import pyarrow.parquet as pq

    filled.export(tmp_path / "x.parquet", embeddings=True)
    rows = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [(row["id"], row["id_is_int"]) for row in rows[:2]] == [("7", True), ("7", False)]
    assert json.loads(rows[0]["metadata"]) == RECORDS[0]["metadata"]
    vectors = np.frombuffer(rows[0]["passages"][0]["embeddings"], "<f2")
    assert vectors.reshape(-1, rows[0]["dim"]).shape[1] == 128


def test_rows_that_others_have_filtered_come_in(filled, new_collection, tmp_path):
    import pyarrow.parquet as pq

    filled.export(tmp_path / "x.parquet", embeddings=True)
    table = pq.read_table(tmp_path / "x.parquet")
    pq.write_table(table.slice(0, 2).replace_schema_metadata(None), tmp_path / "y.parquet")
    back = new_collection("to.lace")
    assert back.import_(tmp_path / "y.parquet").added == 2
    assert everything(back) == filled.get([7, "7"])


def test_the_same_commit_makes_the_same_bytes(filled, tmp_path):
    for format_ in FORMATS:
        one, other = tmp_path / f"1.{format_}", tmp_path / f"2.{format_}"
        filled.export(one, embeddings=True)
        filled.export(other, embeddings=True)
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_files_of_others(new_collection, tmp_path, suffix):
    """A corpus of BEIR, and records as people have them."""
    records = [
        {"_id": "MED-10", "title": "Statins", "text": "Cholesterol falls.", "metadata": {}},
        {"_id": "MED-11", "title": "Salt", "text": "Pressure rises.", "metadata": {"url": "x"}},
    ]
    path = tmp_path / f"corpus{suffix}"
    lines = "".join(json.dumps(record) + "\n" for record in records)
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        for record in records:
            record["metadata"] = {"url": record["metadata"].get("url")}
        pq.write_table(pa.Table.from_pylist(records), path)
    elif suffix == ".jsonl":
        path.write_text(lines)
    else:
        path.write_bytes(gzip.compress(lines.encode()))
    notes = new_collection()
    assert notes.import_(path).added == 2
    (found,) = notes.get(["MED-11"])
    assert found.text == "Pressure rises."
    assert found.metadata["title"] == "Salt"
    assert (found.file, found.line) == (None, None)
    assert notes.import_(path, text_fields=["title", "text"]).replaced == 2
    assert notes.get(["MED-10"])[0].text == "Statins\nCholesterol falls."


# --- refused -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("line", "options", "message"),
    [
        ({"id": "b", "foo": 3}, {}, r"'text' is not there: .*line 2. Say .* there is id, foo\."),
        ({}, {}, r"'text' is not there: .*there is no fields"),
        ({"id": ["b"], "text": 3}, {}, r"text must be a str, not int: .*line 2\. Put it"),
        (7, {}, "neither an object nor a text"),
        ({"interlace": 1, "id": "c", "text": "x"}, {"id_field": "zz"}, "has its id in 'id' and"),
        ({"interlace": 1, "id": "c", "text": "x"}, {"text_fields": ["zz", "a"]}, "in 'text'"),
    ],
)
def test_a_row_of_others_that_cannot_be_taken(new_collection, tmp_path, line, options, message):
    (tmp_path / "x.jsonl").write_text(
        f'{{"id": "a", "zz": "a", "text": "x"}}\n{json.dumps(line)}\n{{"id": "c", "text": "x"}}'
    )
    notes = new_collection()
    with pytest.raises(InputError, match=message) as caught:
        notes.import_(tmp_path / "x.jsonl", **options)
    assert "x.jsonl, line 2" in str(caught.value)


GOOD = {
    "interlace": 1,
    "id": "a",
    "text": "abcdef",
    "metadata": {},
    "dim": DIM,
    "model": None,
    "passages": [
        {
            "start": 0,
            "end": 6,
            "embeddings": base64.b64encode(matrix(1, 2).astype("<f2").tobytes()).decode(),
        }
    ],
}


def passage(**changed):
    return {"passages": [{**GOOD["passages"][0], **changed}]}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"interlace": 2}, r"'interlace' is 2, and this interlace reads 1.*Upgrade"),
        ({"id": None}, r"'id' is null"),
        ({"id": 1.5}, r"id must be a str or an int"),
        ({"text": 5}, r"text must be a str"),
        ({"metadata": 5}, r"metadata must be a mapping"),
        ({"line": "x"}, r"line must be a int"),
        ({"colour": 5}, r"'colour' is no field of the row.*metadata"),
        ({"dim": 7}, r"'dim' is 7"),
        ({"model": "x"}, r"'model' must be an object"),
        ({"passages": 5}, r"'passages' must be a list"),
        ({"passages": [5]}, r"'passages\[0\]' must be an object"),
        (passage(x=1), r"'x' is no field of passages\[0\]"),
        (passage(start=-1), r"'passages\[0\]\.start' must be a whole number"),
        (passage(end=7), r"'passages\[0\]' is \[0, 7\) of 6 characters"),
        (passage(end=True), r"'passages\[0\]\.end' must be"),
        (passage(headings="x"), r"'passages\[0\]\.headings' must be a list"),
        (passage(page="x"), r"'passages\[0\]\.page' must be"),
        (passage(embeddings="!"), r"'passages\[0\]\.embeddings' is no base64"),
        (passage(embeddings=5), r"'passages\[0\]\.embeddings' must be base64"),
        (passage(embeddings="AAAA"), r"embeddings' has 3 bytes, no multiple of 16"),
        (passage(embeddings=base64.b64encode(b"\0" * 16).decode()), r"only zeros.*passages\[0\]"),
        (passage(token_ids=[1]), r"token_ids must be 2 integers.*passages\[0\]"),
    ],
)
def test_a_row_that_cannot_be_taken(tmp_path, changed, message):
    path = tmp_path / "x.jsonl"
    rows = [{**GOOD, "id": "first"}, {**GOOD, **changed}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with interlace.create(tmp_path / "to", model=None, dim=DIM) as made:
        with pytest.raises(InputError, match=message) as caught:
            made.import_(path)
        assert "x.jsonl, line 2" in str(caught.value)
        assert len(made) == 0
        path.write_text(json.dumps(GOOD))
        assert made.import_(path).added == 1


def test_lines_that_cannot_be_read(new_collection, tmp_path):
    notes = new_collection()
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n\n{"text": \n')
    with pytest.raises(InputError, match=r"bad JSON.*x\.jsonl, line 3"):
        notes.import_(tmp_path / "x.jsonl")
    (tmp_path / "x.parquet").write_text("no table")
    with pytest.raises(InputError, match=r"no Parquet.*x\.parquet"):
        notes.import_(tmp_path / "x.parquet")
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 999)[:-9])
    with pytest.raises(InputError, match=r"no gzip.*x\.jsonl\.gz"):
        notes.import_(tmp_path / "x.jsonl.gz")
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(InputError, match=r"name does not tell the format.*\.jsonl"):
        notes.import_(tmp_path / "x.txt")
    with pytest.raises(InputError, match="no such file"):
        notes.import_(tmp_path / "gone.jsonl")
    with pytest.raises(InputError, match="unknown format 'csv'"):
        notes.export(tmp_path / "x.csv", format="csv")
    assert len(notes) == 0


def test_nothing_is_overwritten_and_nothing_left(filled, tmp_path, monkeypatch):
    (tmp_path / "x.jsonl").write_text("mine")
    with pytest.raises(InputError, match="something already"):
        filled.export(tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text() == "mine"

    def stops(stage: str, done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.export(tmp_path / "y.jsonl", progress=stops)
    assert not list(tmp_path.glob("y.jsonl*"))
    with pytest.raises(CollectionError, match="cannot write"):
        filled.export(tmp_path / "nowhere" / "y.jsonl")


def test_no_warning_without_cause(filled, new_collection, tmp_path):
    filled.export(tmp_path / "x.jsonl", embeddings=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new_collection("to.lace").import_(tmp_path / "x.jsonl")


def test_only_documents_that_match(filled, new_collection, tmp_path):
    report = filled.export(tmp_path / "x.jsonl", where={"year": {"$gte": 2020}}, embeddings=True)
    assert report.n_documents == 1
    back = new_collection("to.lace")
    back.import_(tmp_path / "x.jsonl")
    assert everything(back) == filled.get([7])
    with pytest.raises(InputError, match="yeer"):
        filled.export(tmp_path / "y.jsonl", where={"yeer": 2020})
    assert not (tmp_path / "y.jsonl").exists()
