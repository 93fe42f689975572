"""Code that is written for Stanford ColBERT, on real texts and the built-in model."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.errors import CollectionError, InputError, NotACollection, SettingsError
from interlace.integrations.stanford import (
    ColBERTConfig,
    Collection,
    Indexer,
    Queries,
    Ranking,
    Run,
    RunConfig,
    Searcher,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "indexes"
TEXTS = [
    "The sky is blue, since air scatters blue light more than red.",
    "Rivers carry minerals into the sea and leave it salty.",
    "Ice is less dense than water, so it floats.",
    "Salt is won from the sea by letting it dry.",
]


@pytest.fixture(autouse=True)
def run(tmp_path):
    """Runs in a folder of the test's own."""
    with Run().context(RunConfig(root=tmp_path, experiment="notes")):
        yield tmp_path / "notes"


@pytest.fixture
def searcher(encoder):
    Indexer(encoder).index("x", TEXTS)
    return Searcher("x")


def test_the_readme_runs_on_real_texts(tmp_path, questions):
    passages = [text.replace("\n", " ").replace("\t", " ") for text in questions[0]]
    asked = list(questions[1])[:40]
    for name, texts in (("collection.tsv", passages), ("queries.tsv", asked)):
        lines = "".join(f"{number}\t{text}\n" for number, text in enumerate(texts))
        (tmp_path / name).write_text(lines, encoding="utf-8")

    with Run().context(RunConfig(nranks=1, experiment="msmarco")):
        config = ColBERTConfig(nbits=2, root=str(tmp_path / "other"))
        indexer = Indexer(checkpoint="mini", config=config)
        indexer.index(name="msmarco.nbits=2", collection=str(tmp_path / "collection.tsv"))
    assert indexer.get_index() == str(tmp_path / "msmarco" / "indexes" / "msmarco.nbits=2")

    with Run().context(RunConfig(nranks=1, experiment="msmarco", name="first")):
        config = ColBERTConfig(root=str(tmp_path / "other"))
        searcher = Searcher(index="msmarco.nbits=2", config=config)
        queries = Queries(str(tmp_path / "queries.tsv"))
        ranking = searcher.search_all(queries, k=100)
        saved = ranking.save("msmarco.nbits=2.ranking.tsv")
    assert saved == str(tmp_path / "msmarco" / "first" / "msmarco.nbits=2.ranking.tsv")

    rows = [line.split("\t") for line in Path(saved).read_text("utf-8").splitlines()]
    assert len(rows) == 40 * 100
    assert [rows[i][0] for i in range(0, 4000, 100)] == [str(qid) for qid in range(40)]
    firsts = [row[:2] for row in rows if row[2] == "1"]
    assert sum(questions[1][asked[int(qid)]] == int(pid) for qid, pid in firsts) >= 34
    assert Ranking(saved).todict() == ranking.todict()

    pids, ranks, scores = searcher.search(asked[3], k=3)
    assert list(zip(pids, ranks, scores, strict=True)) == ranking.todict()[3][:3]
    assert searcher.collection[pids[0]] == passages[pids[0]]
    with interlace.open(indexer.get_index()) as collection:
        assert collection.info()["codec"] == "residual2"


def test_results_are_three_lists(searcher):
    pids, ranks, scores = searcher.search("why is the sea salty", k=10)
    assert pids[0] == 1
    assert ranks == [1, 2, 3, 4]
    assert scores == sorted(scores, reverse=True)
    assert all(type(pid) is int for pid in pids)


@pytest.mark.parametrize(
    "filter_fn",
    [
        lambda pids: pids[pids % 2 == 0],
        lambda pids: [pid for pid in pids if pid % 2 == 0],
        lambda pids: np.array([int(pid) for pid in pids if pid % 2 == 0], np.int32),
    ],
)
def test_filter_fn(searcher, filter_fn):
    assert set(searcher.search("salt", filter_fn=filter_fn)[0]) == {0, 2}
    found = searcher.search_all({"a": "blue", "b": "ice"}, k=1, filter_fn=filter_fn).todict()
    assert [found[qid][0][0] for qid in ("a", "b")] == [0, 2]


def test_filter_fn_gets_a_tensor_where_torch_is_imported(searcher):
    torch = pytest.importorskip("torch")

    def even(pids):
        assert pids.dtype == torch.int32
        return torch.tensor([pid for pid in pids.tolist() if pid % 2 == 0], dtype=torch.int32)

    assert set(searcher.search("salt", filter_fn=even)[0]) == {0, 2}


def test_a_filter_that_lets_nothing_through_finds_nothing(searcher):
    assert searcher.search("salt", filter_fn=lambda pids: pids[:0]) == ([], [], [])


def test_pids(searcher):
    assert searcher.search("salt", pids=[2, 1])[0] == [1, 2]
    assert searcher.search("salt", pids=[2, 1], filter_fn=lambda pids: pids[pids > 1])[0] == [2]
    found = searcher.search_all({7: "salt", 8: "ice"}, qid_to_pids={7: [0], 8: None}, k=1).todict()
    assert [found[7][0][0], found[8][0][0]] == [0, 2]
    with pytest.raises(InputError, match="99"):
        searcher.search("salt", pids=[99])


def test_queries_come_as_a_list_a_mapping_or_a_file(searcher, tmp_path):
    as_list = searcher.search_all(["salt", "ice"], k=1).tolist()
    assert [row[:3] for row in as_list] == [(0, as_list[0][1], 1), (1, 2, 1)]
    path = tmp_path / "queries.json"
    path.write_text('{"qid": 5, "question": "ice\u2028floats"}\n', encoding="utf-8")
    assert Queries(path=path)[5] == "ice\u2028floats"
    assert list(searcher.search_all(str(path), k=1).data) == [5]
    queries = Queries(data={"a": "ice", "b": {"question": "salt"}})
    assert dict(queries) == {"a": "ice", "b": "salt"}
    assert (len(queries), list(queries.keys()), list(queries.values())) == (
        2,
        ["a", "b"],
        ["ice", "salt"],
    )
    assert Queries.cast(queries) is queries
    with Run().context(RunConfig(name="kept")):
        numbered = Queries(data={1: "ice", 2: "salt"})
        assert dict(Queries(numbered.save("q.tsv"))) == dict(numbered)


def test_a_collection_may_be_a_list_a_file_or_an_object(tmp_path, encoder):
    path = tmp_path / "c.tsv"
    path.write_text('0\tIce floats.\n1\tof the sea\tSalt\n2\ta "quoted" # text\n', encoding="utf-8")
    collection = Collection(path=str(path))
    assert list(collection) == ["Ice floats.", "Salt | of the sea", 'a "quoted" # text']
    assert (len(collection), collection[1]) == (3, "Salt | of the sea")
    with Run().context(RunConfig(name="kept")):
        assert list(Collection(collection.save("c.tsv"))) == list(collection)
        with pytest.raises(InputError, match="a tab or line break in a text: 0"):
            Collection(data=["a\tb"]).save("d.tsv")
    for i, given in enumerate((str(path), path, collection, list(collection))):
        Indexer(encoder).index(f"x{i}", given)
        searcher = Searcher(f"x{i}")
        assert list(searcher.collection) == list(collection)
        assert searcher.collection[0:2] == list(collection)[:2]
        assert searcher.search("sea salt", k=1)[0] == [1]
    shown = Searcher("x0", collection=["a", "b", "c"])
    assert shown.collection[1] == "b"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("0\ta\n2\tb\n", "pid '2' on line 2"),
        ("0\ta\nwithout\n", "no tab on line 2"),
        (b"0\t\xff\n", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_c13_a_file_that_is_not_as_it_should_be_names_its_line(
    tmp_path, encoder, content, says, run
):
    path = tmp_path / "c.tsv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says):
        Indexer(encoder).index("x", str(path))
    assert list((run / "indexes").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("q.tsv", "a\tice\n", "qid 'a' on line 1"),
        ("q.tsv", "1\tice\n1\tsalt\n", "a qid comes twice"),
        ("q.json", '{"question": "ice"}\n', "Give an object with qid"),
    ],
)
def test_queries_that_are_not_as_they_should_be(tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says):
        Queries(tmp_path / name)


def test_long_passages_are_read_to_their_end(encoder):
    long = f"{TEXTS[0]} " * 60 + TEXTS[1]
    path = Indexer(encoder, ColBERTConfig(doc_maxlen=100)).index("x", [long, TEXTS[2]])
    with interlace.open(path) as collection:
        assert collection.info()["passage_tokens"] == 97
        assert len(collection) == 2
    searcher = Searcher("x")
    assert searcher.search("why is the sea salty", k=5)[0] == [0, 1]
    assert searcher.collection[0] == long
    Indexer(encoder, ColBERTConfig(doc_maxlen=5000)).index("y", [long])


def test_replacing_an_index_leaves_its_neighbours(encoder, run):
    for name in ("x", "x.new", "x.old"):
        Indexer(encoder).index(name, TEXTS)
    Indexer(encoder).index("x", TEXTS[2:], overwrite=True)
    assert [len(Searcher(name).collection) for name in ("x", "x.new", "x.old")] == [2, 4, 4]


def test_replacing_that_ended_between_two_moves_has_what_was_there(encoder, run):
    path = Path(Indexer(encoder).index("x", TEXTS))
    path.rename(path.with_name(".x.old"))
    with pytest.raises(CollectionError, match="an index of that name"):
        Indexer(encoder).index("x", TEXTS[2:])
    assert len(Searcher("x").collection) == 4


def test_overwrite(encoder):
    indexer = Indexer(encoder)
    path = indexer.index("x", TEXTS[:2])
    with pytest.raises(CollectionError, match="there is an index of that name"):
        indexer.index("x", TEXTS)
    assert indexer.index("x", TEXTS, overwrite="reuse") == path
    assert len(Searcher("x").collection) == 2
    indexer.index("x", TEXTS, overwrite="resume")
    assert list(Searcher("x").collection) == TEXTS
    indexer.index("x", TEXTS[2:], overwrite=True)
    assert list(Searcher("x").collection) == TEXTS[2:]
    indexer.index("y", TEXTS, overwrite="resume")
    assert list(Searcher("y").collection) == TEXTS


def test_the_nearest_setting_counts(tmp_path):
    with Run().context(RunConfig(experiment="a", nranks=4)):
        assert (Run().experiment, Run().root, Run().config.nranks) == ("a", tmp_path, 4)
        with Run().context(RunConfig(experiment="b")):
            assert (Run().experiment, Run().nranks) == ("b", 4)
        with Run().context(RunConfig(name="n"), inherit_config=False):
            assert Run().experiment is None
            assert Run().path_ == str(Path("experiments", "default", "n"))
        assert Run().experiment == "a"
    config = ColBERTConfig.from_existing(ColBERTConfig(nbits=2, dim=96), RunConfig(root="r"), None)
    assert (config.nbits, config.dim, config.root) == (2, 96, "r")
    config.configure(nbits=1)
    assert config.nbits == 1
    with pytest.raises(SettingsError, match="no such setting: nbit"):
        config.configure(nbit=1)
    with pytest.raises(TypeError, match="unexpected"):
        ColBERTConfig(nbit=1)


def test_a_run_is_of_its_thread_alone():
    seen = []
    with Run().context(RunConfig(experiment="here")):
        other = threading.Thread(target=lambda: seen.append(Run().experiment))
        other.start()
        other.join()
    assert seen == [None]


def test_a_ranking_is_not_overwritten_unasked(searcher, run):
    ranking = searcher.search_all({1: "ice"}, k=2)
    with Run().context(RunConfig(name="n")):
        path = Path(ranking.save("r.tsv"))
        assert path == run / "n" / "r.tsv"
        with pytest.raises(CollectionError, match="there is a file of that name"):
            ranking.save("r.tsv")
    with Run().context(RunConfig(name="n", overwrite=True)):
        ranking.save("r.tsv")
    assert Path(ranking.save("r.tsv")).parent.parent == run  # named by the time
    assert Ranking.cast(ranking) is ranking
    assert dict(Ranking(data=ranking.tolist()).items()) == ranking.data


def test_what_is_not_there(encoder):
    with pytest.raises(NotACollection):
        Searcher("unknown")
    with pytest.raises(InputError, match="interlace import"):
        Searcher("stanford-2", index_root=GOLDEN)
    for kind in (Collection, Queries, Ranking):
        with pytest.raises(InputError, match="one of the two"):
            kind()
    with pytest.raises(SettingsError, match="bits is 8"):
        Indexer(encoder, ColBERTConfig(nbits=8)).index("x", TEXTS)


def test_the_index_names_its_model(encoder, copy_of_mini):
    folder = copy_of_mini()
    path = Indexer(folder).index("x", TEXTS)
    model = json.loads(json.dumps(interlace.open(path).info()["model"]))["name"]
    assert Path(model) == folder
    assert Searcher("x", checkpoint=encoder).search("ice", k=1)[0] == [2]


def test_a_checkpoint_that_colbert_saved_scores_as_colbert_does(saved_by_colbert):
    folder, texts, matrices, queries = saved_by_colbert
    Indexer(folder).index("x", texts)
    searcher = Searcher("x")
    for text, query in queries.items():
        theirs = [np.maximum.reduce(rows @ query.T).sum() for rows in matrices]
        pids, _, scores = searcher.search(text, k=len(texts))
        assert sorted(pids) == list(range(len(texts)))
        assert scores == pytest.approx([theirs[pid] for pid in pids], rel=0.01)
