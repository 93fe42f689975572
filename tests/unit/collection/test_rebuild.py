"""``rebuild``: another model, other bits, other passages or embeddings, searchable meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.errors import CollectionError, InputError, Locked, ModelMismatch, SettingsError

WORDS = [
    *("anchor", "basket", "candle", "drum", "engine", "feather"),
    *("guitar", "hammer", "island", "jacket", "kettle", "lantern"),
]


class Words:
    """A model of somebody else: each word has a direction."""

    def __init__(self, seed: int = 1, dim: int = 24) -> None:
        self.seed, self.dim = seed, dim
        self.heard: list[str] = []

    def encode_query(self, texts: list[str]) -> list[np.ndarray]:
        return [np.stack([self.direction(word) for word in text.split()]) for text in texts]

    def encode_document(self, texts: list[str]) -> list[np.ndarray]:
        self.heard += texts
        return self.encode_query(texts)

    def direction(self, word: str) -> np.ndarray:
        return np.random.default_rng([self.seed, *word.encode()]).standard_normal(self.dim)


class Slowly(Words):
    """Does something before it encodes a certain text."""

    def __init__(self, at: str, work, **options) -> None:
        super().__init__(**options)
        self.at, self.work = at, work

    def encode_document(self, texts: list[str]) -> list[np.ndarray]:
        if self.at in texts:
            self.at = ""
            self.work()
        return super().encode_document(texts)


def documents(n: int = 12, first: int = 0) -> list[dict[str, object]]:
    return [
        {"id": f"d{i}", "text": f"The {WORDS[i % 12]} of house {i}.", "metadata": {"i": i}}
        for i in range(first, first + n)
    ]


@pytest.fixture
def foreign(tmp_path) -> Iterator[interlace.Collection]:
    """Twelve documents, encoded by a model of somebody else."""
    with interlace.create(tmp_path / "words.lace", Words()) as made:
        made.add(documents())
        yield made


def told(collection: interlace.Collection, query: str = "The guitar of house 6.") -> list:
    return [(hit.id, hit.text, hit.score, hit.metadata) for hit in collection.search(query, k=5)]


# --- another model -------------------------------------------------------------------------------
def test_another_model_equals_a_collection_made_with_it(foreign, notes):
    notes.add(documents())
    report = foreign.rebuild("mini")
    assert (report.n_documents, report.n_passages, report.n_recut) == (12, 12, 0)
    assert report.n_tokens == notes.info()["n_tokens"]
    for name in ("model", "dim", "passage_tokens", "n_passages", "n_tokens"):
        assert foreign.info()[name] == notes.info()[name]
    assert told(foreign) == told(notes)
    foreign.add(documents(3, first=12))
    notes.add(documents(3, first=12))
    assert told(foreign, "house 13") == told(notes, "house 13")
    assert foreign.verify().ok


def test_from_mini_to_a_model_of_other_width_and_back(notes):
    notes.add(documents())
    before = told(notes)
    notes.rebuild(Words(dim=40))
    assert notes.info()["dim"] == 40
    assert notes.info()["passage_tokens"] is None
    assert notes.search("The guitar of house 6.")[0].id == "d6"
    notes.rebuild("mini")
    assert told(notes) == before
    assert notes.verify().ok


def test_opened_again_by_name(foreign):
    foreign.rebuild("mini")
    path = foreign.path
    foreign.close()
    with interlace.open(path) as again:
        assert again.search("guitar")[0].id == "d6"
    with interlace.open(path, Words()) as again:
        with pytest.raises(ModelMismatch, match=r"rebuild\(model\)"):
            again.search("guitar")
        assert again.get(["d6"])


def test_the_remedy_of_a_mismatch_works(foreign):
    path = foreign.path
    foreign.close()
    other = Words(seed=2)
    with interlace.open(path, other) as again, pytest.raises(ModelMismatch):
        again.search("guitar")
    with interlace.open(path) as again:
        again.rebuild(other)
        assert again.search("The guitar of house 6.")[0].id == "d6"


def test_the_same_model_encodes_all_again(foreign):
    before = told(foreign)
    model = Words()
    path = foreign.path
    foreign.close()
    with interlace.open(path, model) as again:
        report = again.rebuild()
        assert len(model.heard) == 12 + 1  # and the probe
        assert report.n_recut == 0
        assert told(again) == before
        assert again.add(documents()).unchanged == 12


def test_unchanged_texts_are_not_encoded_after_it(foreign):
    model = Words(seed=3)
    foreign.rebuild(model)
    model.heard.clear()
    report = foreign.add([*documents(), {"id": "new", "text": "new"}])
    assert (report.unchanged, report.added) == (12, 1)
    assert model.heard == ["new"]


def test_other_bits(notes):
    notes.add(documents(40))
    notes.settle()
    size = notes.info()["bytes"]["settled"]
    report = notes.rebuild(bits=1)
    assert report.trained
    assert notes.info()["codec"] == "residual1"
    assert notes.info()["bytes"]["settled"] < size
    assert notes.search("The guitar of house 6.")[0].id == "d6"
    assert notes.verify().ok


# --- passages ------------------------------------------------------------------------------------
MARKDOWN = "# Sea\n\nThe anchor is wet.\n\n## Sky\n\n" + "The feather is light. " * 30


def test_other_passages(notes, new_collection):
    made = new_collection("made.lace", passage_tokens=20, passage_overlap=4)
    file = [interlace.Document(MARKDOWN, "m", {}, "markdown", "m.md", 3), *documents(3)]
    notes.add(file)
    made.add(file)
    assert len(notes.search("feather", by="passage", k=50)) == 4
    report = notes.rebuild(passage_tokens=20, passage_overlap=4)
    assert report.n_recut == 1
    hits = notes.search("the feather in the sky", by="passage", k=50)
    assert list(hits) == list(made.search("the feather in the sky", by="passage", k=50))
    assert hits[0].headings == ("Sea", "Sky")
    assert hits[0].line == 7  # of the heading
    assert notes.explain("feather", hits[0]).score == pytest.approx(
        made.explain("feather", hits[0]).score
    )
    assert notes.info()["passage_tokens"] == 20
    assert notes.verify().ok


def test_what_is_not_said_stays(notes, new_collection):
    chosen = new_collection("chosen.lace", passage_tokens=30, passage_overlap=5)
    for collection, after in ((notes, (None, 0)), (chosen, (30, 5))):
        most = collection.info()["passage_tokens"]
        collection.rebuild(bits=2)
        found = collection.info()
        assert found["codec"] == "residual2"
        assert (found["passage_tokens"], found["passage_overlap"]) == (most, after[1])
        collection.rebuild(passage_tokens=25)
        assert collection.info()["passage_tokens"] == 25
        collection.rebuild()
        assert collection.info()["passage_tokens"] == 25


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bits": 3}, SettingsError, "bits is 3"),
        ({"passage_tokens": 0}, SettingsError, "passage_tokens is 0"),
        ({"passage_tokens": 10**6}, SettingsError, "the model reads"),
        ({"passage_tokens": 10, "passage_overlap": 9}, SettingsError, "overlap is 9"),
        ({"dim": 7}, SettingsError, "dim is 7"),
        ({"token_ids": []}, InputError, "without embeddings"),
        ({"model": "mini", "embeddings": []}, InputError, "came together"),
        ({"embeddings": [], "passage_tokens": 5}, SettingsError, "not cut"),
        ({"model": 7}, InputError, "a model must be"),
        ({"embeddings": 7}, InputError, "must be a list"),
    ],
)
def test_wrong_arguments_change_nothing(notes, options, error, message):
    notes.add(documents(3))
    before = notes.info()
    with pytest.raises(error, match=message):
        notes.rebuild(**options)
    assert notes.info() == before


# --- embeddings of one's own ---------------------------------------------------------------------
def matrices(dim: int, ids, seed: int = 5) -> dict:
    return {
        id_: np.random.default_rng([seed, i]).standard_normal((4, dim)).astype(np.float32)
        for i, id_ in enumerate(ids)
    }


@pytest.fixture
def own(new_collection) -> interlace.Collection:
    """Twelve documents without a model."""
    made = new_collection("own.lace", model=None, dim=8)
    made.add(documents(), embeddings=list(matrices(8, range(12)).values()))
    return made


@pytest.mark.parametrize("kind", ["list", "generator", "mapping"])
def test_embeddings_given_again(own, kind):
    own.delete(["d2"])
    new = matrices(16, own.ids())
    types = {id_: np.arange(4) for id_ in new}
    given = {
        "list": (list(new.values()), list(types.values())),
        "generator": ((one for one in new.values()), (one for one in types.values())),
        "mapping": (new, types),
    }[kind]
    report = own.rebuild(dim=16, embeddings=given[0], token_ids=given[1])
    assert (report.n_documents, report.n_tokens) == (11, 44)
    assert own.info()["dim"] == 16
    for id_, matrix in new.items():
        hit = own.search(embeddings=matrix)[0]
        assert (hit.id, hit.text) == (id_, own.get([id_])[0].text)
    again = own.add(
        [one for one in documents() if one["id"] in new],
        embeddings=list(new.values()),
        token_ids=list(types.values()),
    )
    assert again.unchanged == 11
    assert own.verify().ok


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda new: list(new.values())[:-1], "12 documents but 11 embeddings"),
        (lambda new: iter(list(new.values())[:-1]), "embeddings end after 11 of 12"),
        (lambda new: iter([*new.values(), 1]), "embeddings go on after the last of 12"),
        (lambda new: {id_: new[id_] for id_ in list(new)[1:]}, "lack document 'd0'"),
        (lambda new: [one[:, :5] for one in new.values()], "5 dims where 8 are expected"),
        (lambda new: [one * np.nan for one in new.values()], "has NaN"),
    ],
)
def test_embeddings_that_do_not_fit_change_nothing(own, given, message):
    asked = matrices(8, range(12))[3]
    before = [(hit.id, hit.score) for hit in own.search(embeddings=asked)]
    with pytest.raises(InputError, match=message):
        own.rebuild(embeddings=given(matrices(8, own.ids())))
    assert [(hit.id, hit.score) for hit in own.search(embeddings=asked)] == before
    assert own.verify().ok
    assert own.info()["generation"] is None


def test_documents_that_come_while_embeddings_are_read(own):
    new = matrices(8, [*own.ids(), "late"], seed=6)

    def stream():
        for i, matrix in enumerate(list(new.values())[:12]):
            if i == 5:
                own.delete(["d9"])
                own.add([{"id": "late", "text": "late"}], embeddings=[np.eye(8)[:3]])
            yield matrix

    with pytest.raises(InputError, match="document 'late' came"):
        own.rebuild(embeddings=stream())
    own.rebuild(embeddings=new)
    assert own.search(embeddings=new["late"])[0].id == "late"
    assert own.search(embeddings=new["d11"])[0].id == "d11"
    assert len(own) == 12


def test_texts_of_ones_own_embeddings_get_a_model(own):
    with pytest.raises(InputError, match="has no model"):
        own.rebuild()
    own.rebuild("mini")
    assert own.search("guitar")[0].id == "d6"
    assert own.add(documents()).unchanged == 12
    own.rebuild(dim=8, embeddings=matrices(8, own.ids()))
    with pytest.raises(CollectionError, match="no model"):
        own.search("guitar")
    assert own.info()["model"] is None


def test_an_empty_collection(notes):
    assert notes.rebuild(Words()).n_documents == 0
    notes.add(documents(2))
    assert notes.search("house 1")[0].id in ("d0", "d1")


def test_blank_documents(notes):
    notes.add([{"id": "blank", "text": " \n"}, {"id": "empty", "text": ""}, *documents(1)])
    assert notes.rebuild(Words()).n_empty == 2
    assert list(notes.ids()) == ["blank", "empty", "d0"]
    assert notes.verify().ok


# --- meanwhile -----------------------------------------------------------------------------------
def test_searches_and_changes_meanwhile(foreign):
    """Searches use the old model until the switch, and the new one at once after it."""
    during: list = []

    def work() -> None:
        during.append(told(foreign))
        foreign.delete(["d3", "d4"])
        foreign.add([{"id": "d5", "text": "Another text."}, {"id": "late", "text": "Late."}])
        foreign.update_metadata("d6", {"seen": True})
        during.append(told(foreign, "Late.")[0][0])
        with pytest.raises(Locked):
            interlace.open(foreign.path, lock_wait_seconds=0.05).rebuild(Words())

    before = told(foreign)
    report = foreign.rebuild(Slowly("The hammer of house 7.", work, seed=2, dim=32))
    assert during == [before, "late"]
    assert report.n_meanwhile == 2
    assert set(foreign.ids()) == {f"d{i}" for i in range(12)} - {"d3", "d4"} | {"late"}
    for query, id_ in (("Late.", "late"), ("Another text.", "d5"), (documents()[9]["text"], "d9")):
        assert foreign.search(str(query))[0].id == id_
    assert foreign.get(["d6"])[0].metadata == {"seen": True}
    assert foreign.verify().ok


def test_threads_that_search_meanwhile(foreign):
    wrong, over = [], threading.Event()

    def search() -> None:
        while not over.is_set():
            for i in (0, 5, 11):
                try:
                    text = documents()[i]["text"]
                    if foreign.search(str(text))[0].text != text:
                        wrong.append(i)
                except Exception as error:
                    wrong.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for dim in (32, 24, 40):
            foreign.rebuild(Words(dim=dim, seed=dim))
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_failing_model_changes_nothing(foreign):
    def work() -> None:
        raise OSError("no such host")

    before, info = told(foreign), foreign.info()
    with pytest.raises(OSError, match="no such host"):
        foreign.rebuild(Slowly("The hammer of house 7.", work, dim=32))
    assert told(foreign) == before
    assert foreign.info() == info
    assert foreign.verify().ok


def test_another_process_uses_the_new_model(foreign):
    """It has opened by name, so the name in the new settings is loaded."""
    foreign.rebuild("mini")
    program = (
        "import sys, interlace\n"
        "with interlace.open(sys.argv[1]) as notes:\n"
        "    print(notes.search('guitar')[0].id, flush=True)\n"
        "    sys.stdin.readline()\n"
        "    notes.refresh()\n"
        "    print(notes.info()['passage_tokens'], notes.search('guitar')[0].id, flush=True)\n"
        "    notes.add(['A xylophone.'])\n"
        "    print(notes.search('xylophone')[0].text, flush=True)\n"
    )
    argv = [sys.executable, "-c", program, str(foreign.path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "d6\n"
        foreign.rebuild(bits=2, passage_tokens=50)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "50 d6\n"
        assert process.stdout.readline() == "A xylophone.\n"
        assert process.wait() == 0


def test_a_model_that_was_passed_must_fit_after_somebody_elses_rebuild(foreign):
    with interlace.open(foreign.path, Words()) as other:
        assert other.search("guitar")
        foreign.rebuild("mini")
        other.refresh()
        with pytest.raises(ModelMismatch, match="'mini'"):
            other.search("guitar")
        assert len(other) == 12
    with interlace.create(foreign.path.parent / "named.lace", "mini") as named:
        named.add(documents(2))
        with interlace.open(named.path) as other:
            other.rebuild(Words())
        named.refresh()
        with pytest.raises(CollectionError, match="Pass the object"):
            named.search("guitar")


# --- files and crashes ---------------------------------------------------------------------------
def test_indexed_folders_are_followed_on(notes, tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for i in range(5):
        (folder / f"{i}.md").write_text(f"# Title {i}\n\nThe {WORDS[i]} of house {i}.\n")
    notes.index(folder)
    model = Words()
    notes.rebuild(model)
    model.heard.clear()
    assert not notes.update().has_changed
    assert model.heard == []
    (folder / "2.md").write_text("# Other\n\nA zebra.\n")
    (folder / "3.md").unlink()
    report = notes.update()
    assert (report.replaced, report.removed) == (1, 1)
    assert len(model.heard) == 1
    hit = notes.search("A zebra.")[0]
    assert hit.file is not None
    assert hit.file.endswith("docs/2.md")
    assert notes.locate(hit) == folder / "2.md"
    assert notes.verify().ok


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_while_it_encodes(foreign, tmp_path):
    program = tmp_path / "killed.py"
    program.write_text(
        "import os, signal, sys, interlace\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import test_rebuild as t\n"
        "model = t.Slowly('The hammer of house 7.', lambda: os.kill(os.getpid(), 9), dim=32)\n"
        f"interlace.open({str(foreign.path)!r}).rebuild(model)\n"
    )
    before = told(foreign)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, str(program)], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    assert told(foreign) == before
    foreign.add([{"id": "after", "text": "After."}])
    assert foreign.search("After.")[0].id == "after"
    assert foreign.verify().ok
    foreign.rebuild(Words(dim=32))
    assert len(foreign) == 13


def test_a_damaged_collection_is_made_whole(notes):
    notes.add(documents(40))
    notes.settle()
    path = notes.path
    notes.close()
    (segment,) = path.glob("segments/*.settled")
    segment.write_bytes(segment.read_bytes()[:1000])
    (cells,) = path.glob("codec/*/cells.codec")
    cells.unlink()
    with interlace.open(path, damaged="skip") as hurt:
        assert not hurt.verify().ok
        hurt.rebuild()
        assert hurt.verify().ok
        assert hurt.search("The guitar of house 6.")[0].id == "d6"
    with interlace.open(path) as whole:
        assert len(whole) == 40
        assert whole.search("The guitar of house 6.")[0].id == "d6"
