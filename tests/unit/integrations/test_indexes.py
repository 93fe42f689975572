"""Indexes that the real packages made, against what the packages decode of them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace.errors import CollectionError, InputError, SettingsError
from interlace.integrations import convert, open_index
from interlace.integrations.indexes import FORMATS, arrays, pickles, plaid

GOLDEN = Path(__file__).parents[2] / "golden" / "indexes"
NAMES = ["stanford-1", "stanford-2", "stanford-4", "fast-plaid-2", "fast-plaid-4", "pylate-4"]
TEXTS = [
    line.split("\t")[1].rstrip("\n")
    for line in (GOLDEN / "collection.tsv").read_text(encoding="utf-8").splitlines()
]


def decoded_there(name: str) -> list[np.ndarray]:
    """What the package itself decodes, removed passages left out."""
    saved = np.load(GOLDEN / f"{name}.npz")
    rows = saved["rows"].astype(np.float32)
    return [one for one in np.split(rows, np.cumsum(saved["lengths"])[:-1]) if len(one)]


def kept(name: str) -> list[int]:
    """Which of the forty texts each passage of an index is."""
    gone = {"stanford-2": {4, 20}, "fast-plaid-2": {2, 17}, "pylate-4": {3, 9}}.get(name, set())
    return [i for i in range(len(TEXTS)) if i not in gone]


def ids_of(name: str) -> list[interlace.types.Id]:
    if name == "pylate-4":
        return [f"piece {i}" for i in kept(name)]
    return kept(name) if name.startswith("stanford") else list(range(len(kept(name))))


def copied(name: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / name, tmp_path / name))


def test_every_format_has_an_index_here():
    assert {open_index(GOLDEN / name).format for name in NAMES} == set(FORMATS)


@pytest.mark.parametrize("at_once", [1, 100, 65_536])
@pytest.mark.parametrize("name", NAMES)
def test_vectors_are_those_that_the_package_decodes(name, at_once, monkeypatch):
    monkeypatch.setattr(plaid, "_TOKENS_AT_ONCE", at_once)
    index = open_index(GOLDEN / name)
    expected = decoded_there(name)
    found = list(index.matrices())
    assert [id_ for id_, _ in found] == ids_of(name)
    for (_, matrix), other in zip(found, expected, strict=True):
        assert matrix.dtype == np.float32
        np.testing.assert_allclose(matrix, other, atol=1e-3)
    assert (index.dim, index.bits) == (32, int(name[-1]))
    assert index.n_documents == len(expected)
    assert index.n_tokens == sum(map(len, expected))
    assert index.model == ("mini" if name.startswith("stanford") else None)


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_index_ranks_as_the_vectors_that_the_package_decodes(name, tmp_path):
    matrices = decoded_there(name)
    found = 0
    with convert(GOLDEN / name, tmp_path / "new.lace") as collection:
        assert list(collection.ids()) == ids_of(name)
        for i, matrix in enumerate(matrices):
            query = matrix[::3]
            exact = np.array([(query @ other.T).max(axis=1).sum() for other in matrices])
            hits = collection.search(embeddings=query, effort="exhaustive", k=10)
            assert hits[0].id == ids_of(name)[i]
            assert hits[0].score == pytest.approx(exact[i], rel=5e-3)
            best = {ids_of(name)[n] for n in np.argsort(-exact)[:10]}
            found += len(best & {hit.id for hit in hits})
    assert found >= 0.97 * 10 * len(matrices)


def test_documents_have_the_texts_and_metadata_of_their_passages(tmp_path):
    with convert(
        GOLDEN / "stanford-2", tmp_path / "s.lace", texts=GOLDEN / "collection.tsv"
    ) as collection:
        for document in collection.get(collection.ids()):
            assert document.text == TEXTS[document.id]
        assert 4 not in collection
    with convert(GOLDEN / "fast-plaid-2", tmp_path / "f.lace") as collection:
        metadata = [document.metadata for document in collection.get(collection.ids())]
        assert metadata == [
            {"number": i, "half": i / 2} | ({"even": "yes"} if i % 2 == 0 else {})
            for i in kept("fast-plaid-2")
        ]
        assert collection.search(embeddings=np.eye(32), where="number = 39")[0].id == 37


def test_texts_come_as_a_mapping_a_stream_or_a_list_in_a_file(tmp_path):
    listed = tmp_path / "collection.json"
    listed.write_text(json.dumps(TEXTS))
    ways = {
        "mapping": {i: TEXTS[i] for i in kept("stanford-2")},
        "stream": iter(TEXTS),
        "json": str(listed),
    }
    for way, texts in ways.items():
        path = tmp_path / f"{way}.lace"
        with convert(GOLDEN / "stanford-2", path, texts=texts) as collection:
            assert [one.text for one in collection.get([0, 5, 39])] == [
                TEXTS[0], TEXTS[5], TEXTS[39],
            ]  # fmt: skip


def test_texts_of_named_passages_are_found_by_name(tmp_path):
    path = tmp_path / "texts.tsv"
    rows = [f"piece {i}\t{text}\n" for i, text in enumerate(TEXTS)]
    path.write_text("".join(reversed(rows)), encoding="utf-8")
    with convert(GOLDEN / "pylate-4", tmp_path / "new.lace", texts=path) as collection:
        assert collection.get(["piece 12"])[0].text == TEXTS[12]


def test_a_title_is_part_of_the_text_as_colbert_encodes_it(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"{i}\tpassage {i}\ttitle\n" for i in range(40)))
    with convert(GOLDEN / "stanford-4", tmp_path / "new.lace", texts=path) as collection:
        assert collection.get([7])[0].text == "title | passage 7"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (range(39), r"39 texts for 40 passages: .*texts\.tsv"),
        (range(41), r"more texts than 40 passages: .*texts\.tsv"),
        ([0, 2], r"line 2 must begin with 1 and a tab: .*texts\.tsv"),
    ],
)
def test_texts_that_do_not_fit_are_refused(rows, message, tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("".join(f"{i}\tpassage\n" for i in rows))
    with pytest.raises(InputError, match=message):
        convert(GOLDEN / "stanford-4", tmp_path / "new.lace", texts=path)


def test_a_text_that_a_mapping_lacks_is_named(tmp_path):
    with pytest.raises(InputError, match="no text of passage 5"):
        convert(
            GOLDEN / "stanford-2",
            tmp_path / "new.lace",
            texts={i: TEXTS[i] for i in range(40) if i != 5},
        )


def test_texts_that_are_no_utf8_are_refused(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_bytes(b"0\t\xff\xfe\n")
    with pytest.raises(InputError, match="cannot be read"):
        convert(GOLDEN / "stanford-4", tmp_path / "new.lace", texts=path)


class Narrow:
    """The model that the indexes were made with: 32 dims of mini."""

    def __init__(self, encoder: interlace.Encoder) -> None:
        self.encoder = encoder

    def encode_query(self, texts):
        return [matrix[:, :32] for matrix in self.encoder.encode_query(texts)]

    def encode_document(self, texts):
        return [matrix[:, :32] for matrix in self.encoder.encode_document(texts)]


def test_with_its_model_an_index_is_searched_by_text_and_grows(encoder, tmp_path):
    model = Narrow(encoder)
    with convert(GOLDEN / "stanford-4", tmp_path / "new.lace", model, texts=TEXTS) as collection:
        for i in (0, 11, 39):
            assert collection.search(TEXTS[i][:80], mode="late", k=1)[0].id == i
        collection.add([{"id": "sea", "text": "Rivers carry salt into the sea."}])
        assert collection.search("Why is the sea salty?", mode="late", k=1)[0].id == "sea"


def test_another_model_of_the_same_width_is_told_by_the_first_text(encoder, tmp_path):
    class Other(Narrow):
        def encode_document(self, texts):
            return [matrix[:, 32:64] for matrix in self.encoder.encode_document(texts)]

    with pytest.raises(InputError, match=r"mean cosine 0\.\d\d\) than .*stanford-1") as error:
        convert(GOLDEN / "stanford-1", tmp_path / "new.lace", Other(encoder), texts=TEXTS)
    assert error.value.committed == 0
    with convert(GOLDEN / "stanford-1", tmp_path / "own.lace", Narrow(encoder), texts=TEXTS) as own:
        assert len(own) == 40


def test_another_width_is_refused(encoder, tmp_path, new_collection):
    with pytest.raises(SettingsError, match="dim is 32, but the model's is 128"):
        convert(GOLDEN / "stanford-4", tmp_path / "new.lace", encoder)
    notes = new_collection(model=None, dim=8)
    with pytest.raises(InputError, match="embeddings of 32 dims, the collection of 8"):
        open_index(GOLDEN / "stanford-4").into(notes)


def test_an_index_goes_into_a_collection_that_is_there_and_again_changes_nothing(new_collection):
    notes = new_collection(model=None, dim=32)
    index = open_index(GOLDEN / "pylate-4")
    told = []
    assert index.into(notes, progress=lambda *said: told.append(said)).added == 38
    assert told[-1] == ("store", 38, 38)
    assert index.into(notes).unchanged == 38
    assert open_index(GOLDEN / "stanford-2").into(notes).added == 38
    assert len(notes) == 76


def test_a_place_that_is_taken_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CollectionError):
        convert(GOLDEN / "stanford-4", tmp_path)


# --- what is no index ----------------------------------------------------------------------------
def test_a_folder_without_an_index_is_refused_with_what_would_be_one(tmp_path):
    with pytest.raises(InputError, match=r"no index of another tool: .*centroids\.pt \(stanford\)"):
        open_index(tmp_path)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("stanford-2", "metadata.json"),
        ("stanford-2", "buckets.pt"),
        ("stanford-2", "1.codes.pt"),
        ("stanford-2", "1.residuals.pt"),
        ("stanford-2", "doclens.1.json"),
        ("fast-plaid-2", "bucket_weights.npy"),
        ("fast-plaid-2", "doclens.0.json"),
        ("fast-plaid-4", "merged_codes.npy"),
        ("pylate-4", "fast_plaid_index/centroids.npy"),
    ],
)
def test_a_missing_file_is_named(name, file, tmp_path):
    folder = copied(name, tmp_path)
    (folder / file).unlink()
    with pytest.raises(InputError, match=rf"missing: .*{file}"):
        open_index(folder)


def test_shards_that_are_gone_are_read_from_the_merged_file(tmp_path):
    folder = copied("fast-plaid-2", tmp_path)
    for path in [*folder.glob("*.codes.npy"), *folder.glob("*.residuals.npy")]:
        path.unlink()
    for (_, matrix), other in zip(
        open_index(folder).matrices(), decoded_there("fast-plaid-2"), strict=True
    ):
        np.testing.assert_allclose(matrix, other, atol=1e-3)


def damage_length(folder: Path) -> None:
    path = folder / "doclens.0.json"
    path.write_text(path.read_text().replace("[34,", "[35,"))


def damage_code(folder: Path) -> None:
    stored = arrays.torch_tensors(folder / "0.codes.pt")[0]
    with stored.path.open("r+b") as file:
        file.seek(stored.offset + 40)
        file.write((512).to_bytes(4, "little"))


def damage_centroid(folder: Path) -> None:
    stored = arrays.torch_tensors(folder / "centroids.pt")[0]
    with stored.path.open("r+b") as file:
        file.seek(stored.offset)
        file.write(np.float16(np.nan).tobytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_length, r"int32 of shape \(1230,\).* want \(1231\): .*0\.codes\.pt"),
        (damage_code, r"a code is not that of one of 512 centroids: .*0\.codes\.pt"),
        (damage_centroid, r"numbers that are not finite: .*centroids\.pt"),
    ],
)
def test_files_that_contradict_each_other_are_named(damage, message, tmp_path):
    folder = copied("stanford-4", tmp_path)
    damage(folder)
    with pytest.raises(InputError, match=message):
        convert(folder, tmp_path / "new.lace")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metadata.json", "{}", "num_chunks must be a whole number, not None"),
        ("metadata.json", '{"num_chunks": 1e99}', "num_chunks must be a whole number"),
        ("metadata.json", '{"num_chunks": 2}', r"missing: .*doclens\.1\.json"),
        ("metadata.json", "[" * 100_000, "no JSON"),
        ("doclens.0.json", "[1, -1]", "no list of documents' lengths"),
        ("doclens.0.json", "[1, true]", "no list of documents' lengths"),
        ("doclens.0.json", "[99999999999]", "no list of documents' lengths"),
    ],
)
def test_hostile_numbers_are_refused(file, content, message, tmp_path):
    folder = copied("stanford-4", tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(InputError, match=message) as error:
        open_index(folder)
    assert str(folder) in str(error.value)


# --- nothing is unpickled ------------------------------------------------------------------------
class Evil:
    """What runs when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_runs_something_runs_nothing(tmp_path):
    ran, had_torch = tmp_path / "ran", "torch" in sys.modules  # other suites may have met it
    content = pickle.dumps((Evil(ran), Evil(ran)), protocol=2)
    found = pickles.parse(content)
    assert found[0] == pickles.Call(pickles.Name(os.mkdir.__module__, "mkdir"), (str(ran),))
    folder = copied("stanford-4", tmp_path)
    with zipfile.ZipFile(folder / "buckets.pt", "w") as archive:
        archive.writestr("buckets/data.pkl", content)
    with pytest.raises(InputError, match=r"something else than tensors.*buckets\.pt"):
        open_index(folder)
    named = copied("pylate-4", tmp_path)
    (named / "plaid_ids_to_documents_ids.pkl").write_bytes(pickle.dumps({0: Evil(ran)}))
    with pytest.raises(InputError, match=r"something else than ids.*plaid_ids_to_documents_ids"):
        open_index(named)
    assert not ran.exists()
    assert ("torch" in sys.modules) == had_torch


def test_arrays_of_python_objects_are_refused(tmp_path):
    folder = copied("fast-plaid-4", tmp_path)
    np.save(folder / "centroids.npy", np.array([{}, {}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"holds Python objects.*centroids\.npy"):
        open_index(folder)


def test_a_file_of_an_old_torch_is_told_from_a_damaged_one(tmp_path):
    folder = copied("stanford-4", tmp_path)
    (folder / "centroids.pt").write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2))
    with pytest.raises(InputError, match=r"not as torch has written them since 1\.6"):
        open_index(folder)


def test_a_view_in_the_place_of_the_metadata_is_not_asked(tmp_path):
    import sqlite3

    folder = copied("fast-plaid-4", tmp_path)
    (folder / "metadata.db").unlink()
    with sqlite3.connect(folder / "metadata.db") as database:
        database.execute(
            "CREATE VIEW METADATA AS WITH RECURSIVE n(_subset_) AS "
            "(SELECT 0 UNION ALL SELECT 0 FROM n) SELECT * FROM n"
        )
    database.close()
    assert list(open_index(folder).metadata()) == []


@pytest.mark.parametrize(
    "value", [None, True, 7, -(2**40), "ä", (), (1,), (1, 2, 3, 4), {1: "a", "b": (2,)}, 2**70]
)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_values_are_read(value, protocol):
    assert pickles.parse(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("value", [1.5, b"x", [1], {1}, {(1,): 2}])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match=r"opcode|keys of another kind"):
        pickles.parse(pickle.dumps(value, 4))
