"""Texts in, matrices out: the same for a text whatever stands beside it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from threading import Barrier, get_ident

import numpy as np
import pytest

from interlace.errors import CheckpointError, InputError, SettingsError
from interlace.models import Encoder

TEXTS = [
    "why is the sky blue",
    "",
    "Rayleigh scattering of sunlight by molecules makes the daytime sky look blue. " * 20,
    "!?",
    "東京タワー 🚀 שלום café",
    "a",
    *(f"text number {i} of some length, " * (i % 7 + 1) for i in range(30)),
]


def same(left, right):
    return len(left) == len(right) and all(
        a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True)
    )


def test_rows_are_unit_vectors_of_the_models_width(encoder):
    for matrix in encoder.encode_document(TEXTS) + encoder.encode_query(TEXTS):
        assert matrix.dtype == np.float32
        assert matrix.shape[1] == encoder.dim
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_a_matrix_does_not_depend_on_its_neighbours_or_the_threads(encoder):
    together = encoder.encode_document(TEXTS)
    alone = [encoder.encode_document([text])[0] for text in TEXTS]
    backwards = encoder.encode_document(TEXTS[::-1])[::-1]
    assert same(together, alone)
    assert same(together, backwards)
    for n_threads in (1, 5):
        other = Encoder.load("mini", n_threads=n_threads)
        assert same(together, other.encode_document(TEXTS))
        assert same(encoder.encode_query(TEXTS), other.encode_query(TEXTS))


def test_one_encoder_serves_32_threads(encoder):
    expected = encoder.encode_document(TEXTS)
    with ThreadPoolExecutor(32) as pool:
        runs = list(pool.map(lambda _: encoder.encode_document(TEXTS), range(32)))
    assert all(same(expected, run) for run in runs)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_an_encoder_survives_a_fork():
    code = (
        "import os, sys\n"
        "from interlace.models import Encoder\n"
        "encoder = Encoder.load(n_threads=2)\n"
        "texts = ['the sky is blue', 'a longer text about water', 'x']\n"
        "expected = [m.tobytes() for m in encoder.encode_document(texts)]\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit([m.tobytes() for m in encoder.encode_document(texts)] != expected)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_text_of_special_tokens_alone_has_no_rows(copy_of_mini):
    keeping = Encoder.load(copy_of_mini(query_skip=[], document_skip=[]))
    (query,) = keeping.queries(["sky"])
    assert query.offsets.tolist() == [[0, 0], [0, 3], [0, 0]]
    assert [len(matrix) for matrix in keeping.encode_query(["", "sky!"])] == [0, 4]


def test_meaning_beats_words(encoder):
    scores = encoder.similarity(
        ["how do I cook pasta", "why is the sky blue"],
        ["Boil the spaghetti in salted water.", "Air scatters short wavelengths of light most."],
    )
    assert scores.shape == (2, 2)
    assert scores.argmax(axis=1).tolist() == [0, 1]


def test_offsets_and_ids_belong_to_the_rows(encoder):
    text = "Sunlight, scattered: blue"
    (encoded,) = encoder.documents([text])
    assert len(encoded.matrix) == len(encoded.token_ids) == len(encoded.offsets)
    spelled = [text[start:end] for start, end in encoded.offsets]
    assert spelled == ["Sunlight", "scattered", "blue"]
    assert encoded.offsets.dtype == encoded.token_ids.dtype == np.int32


def test_a_long_document_is_cut_and_says_so(encoder):
    limit = encoder.document_length
    long, short = encoder.documents(["word " * (limit + 50), "word " * limit])
    assert (long.n_cut, short.n_cut) == (50, 0)
    assert same([long.matrix], [short.matrix])
    assert encoder.count(["word " * (limit + 50)]) == [limit + 50]


def test_a_query_is_used_as_far_as_the_model_reads(encoder):
    inside, over = encoder.queries(
        ["word " * encoder.query_length, "word " * (encoder.query_length + 3)]
    )
    assert (inside.n_cut, over.n_cut) == (0, 3)


@pytest.mark.parametrize("text", ["", " \t\n", "\x00", "!!! ... ?", "—"])
def test_a_document_without_words_has_no_rows(encoder, text):
    assert encoder.encode_document([text])[0].shape == (0, encoder.dim)


def test_streams_keep_order_and_read_only_a_little_ahead(encoder):
    taken = []

    def numbers():
        for i in count():
            taken.append(i)
            yield f"number {i}"

    first = list(islice(encoder.documents(numbers()), 20))
    assert same(
        [e.matrix for e in first], encoder.encode_document(f"number {i}" for i in range(20))
    )
    assert len(taken) < 20 + 8 * encoder.n_threads


def test_what_comes_before_a_bad_text_is_delivered(encoder):
    stream = encoder.documents(["good", "fine", "bad\ud800"])
    assert len(next(stream).matrix) == 1
    assert len(next(stream).matrix) == 1
    with pytest.raises(InputError, match="text 2, position 3"):
        next(stream)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_an_error_of_the_source_passes_through(n_threads):
    def source():
        yield "one"
        yield "two"
        raise OSError("disk gone")

    encoder = Encoder.load(n_threads=n_threads)
    with pytest.raises(OSError, match="disk gone"):
        list(encoder.documents(source()))


@pytest.mark.parametrize("bad", [None, 7, b"bytes", ["nested"]])
def test_what_is_not_a_string_is_refused(encoder, bad):
    with pytest.raises(InputError, match=f"{type(bad).__name__}: text 1"):
        encoder.encode_document(["good", bad])


@pytest.mark.parametrize(
    "call", ["encode_query", "encode_document", "queries", "documents", "count"]
)
def test_a_single_string_is_refused_at_the_call(encoder, call):
    with pytest.raises(InputError, match="list"):
        getattr(encoder, call)("one text")


def test_progress_is_told_every_text(encoder):
    calls = []
    encoder.encode_document(["a", "b", "c"], progress=lambda *call: calls.append(call))
    assert calls == [("encode", 1, 3), ("encode", 2, 3), ("encode", 3, 3)]


def test_no_texts_give_no_matrices(encoder):
    assert encoder.encode_document([]) == []
    assert encoder.similarity([], ["a"]).shape == (0, 1)
    assert encoder.similarity(["a"], []).shape == (1, 0)


def test_similarity_of_texts_is_that_of_their_matrices(encoder):
    queries, documents = ["blue sky", "red"], ["the sky is blue", "", "roses are red"]
    of_texts = encoder.similarity(queries, documents)
    q, d = encoder.encode_query(queries), encoder.encode_document(documents)
    assert of_texts.tobytes() == encoder.similarity(q, d).tobytes()
    for i, query in enumerate(q):
        for j, document in enumerate(d):
            best = (query @ document.T).max(axis=1).sum() if len(document) else -len(query)
            assert of_texts[i, j] == pytest.approx(best, abs=1e-4)


def test_similarity_refuses_what_is_neither_text_nor_fitting_matrix(encoder):
    with pytest.raises(InputError, match="list"):
        encoder.similarity("one text", ["a"])
    with pytest.raises(InputError, match="document 1"):
        encoder.similarity(["a"], [np.zeros((2, encoder.dim)), np.zeros((2, encoder.dim + 1))])
    with pytest.raises(InputError, match="str: query 1"):
        encoder.similarity([np.zeros((2, encoder.dim)), "text"], ["a"])


def test_spans_need_a_proper_text(encoder):
    with pytest.raises(InputError, match="position 0"):
        encoder.spans("\ud800")


def test_loading_by_name_and_by_folder_gives_the_same_model(encoder, copy_of_mini):
    folder = copy_of_mini()
    copied = Encoder.load(folder)
    assert copied.fingerprint == encoder.fingerprint
    assert copied.name == str(folder)
    assert Encoder.load(copied.name).revision == encoder.revision
    assert same(copied.encode_query(TEXTS[:3]), encoder.encode_query(TEXTS[:3]))


@pytest.mark.parametrize("name", ["minii", "/no/such/folder", "./nothing", "a/b/c"])
def test_a_model_that_is_nowhere_is_refused(name):
    with pytest.raises(CheckpointError, match=re.escape(name)):
        Encoder.load(name)


def test_another_revision_than_wanted_is_refused():
    with pytest.raises(CheckpointError, match='"77" wanted'):
        Encoder.load("mini", revision="77")


def test_an_unknown_backend_lists_the_known():
    with pytest.raises(SettingsError, match="auto, native, onnx"):
        Encoder.load(backend="tpu")


@pytest.mark.parametrize("n_threads", [0, -2, 1.5, "2", True])
def test_threads_are_a_whole_number_from_one(n_threads):
    with pytest.raises(SettingsError, match="n_threads"):
        Encoder.load(n_threads=n_threads)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_as_many_texts_as_threads_are_encoded_at_once(n_threads, monkeypatch):
    encoder = Encoder.load(n_threads=n_threads)
    run, together, seen = encoder._backend.run, Barrier(n_threads), set()

    def met(ids, attention):
        seen.add(get_ident())
        together.wait(timeout=60)  # breaks when fewer texts than this are ever under way
        return run(ids, attention)

    monkeypatch.setattr(encoder._backend, "run", met)
    assert len(encoder.encode_document(["one text"] * 4 * n_threads)) == 4 * n_threads
    assert len(seen) == n_threads


def test_weights_of_another_width_are_refused(copy_of_mini, encoder):
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        Encoder.load(copy_of_mini(dim=encoder.dim + 1))


def test_damaged_weights_are_refused(copy_of_mini):
    folder = copy_of_mini()
    (folder / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(CheckpointError, match=r"model\.onnx"):
        Encoder.load(folder)


def test_the_model_card_records_the_files(mini_folder):
    card = (mini_folder / "README.md").read_text(encoding="utf-8")
    for name in ("model.onnx", "tokenizer.json", "interlace.json"):
        digest = hashlib.sha256((mini_folder / name).read_bytes()).hexdigest()
        assert f"| `{name}` | `{digest}` |" in card


def test_the_built_in_model_is_small(mini_folder):
    assert sum(file.stat().st_size for file in mini_folder.iterdir()) <= 25_000_000


def test_c47_the_width_is_the_projections(encoder):
    """MiniLM's own rows have 384 coordinates; what comes out has the projection's 128."""
    (matrix,) = encoder.encode_document(["The sky over the sea is blue."])
    assert matrix.shape == (7, encoder.dim) == (7, 128)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_c47_a_model_without_its_projection_is_refused(copy_of_mini):
    """Rows of the trunk's width never pass for embeddings: the graph is checked when loaded."""
    onnx = pytest.importorskip("onnx", reason="takes the projection out of the graph")
    folder = copy_of_mini()
    graph = onnx.load(folder / "model.onnx").graph
    by_output = {output: node for node in graph.node for output in node.output}
    node = by_output[graph.output[0].name]
    widths = {init.name: tuple(init.dims) for init in graph.initializer}
    while not any(set(widths.get(name, ())) == {384, 128} for name in node.input):
        node = by_output[node.input[0]]
    trunk = next(name for name in node.input if name in by_output)
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(trunk, 1, [1, None, 384]))
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=onnx.load(folder / "model.onnx").opset_import),
        folder / "model.onnx",
    )
    with pytest.raises(CheckpointError, match=r"not token ids to rows of 128.*model\.onnx"):
        Encoder.load(folder)


def test_c49_a_text_as_query_and_as_document(copy_of_mini):
    """Two documented outputs: own marker, own length, own list of skipped tokens."""
    model = Encoder.load(
        copy_of_mini(
            query_marker="[unused0]", document_marker="[unused1]", query_length=3, query_skip=[]
        )
    )
    (query,), (document,) = (
        list(verb(["blue sky, sea"])) for verb in (model.queries, model.documents)
    )
    assert (query.n_cut, document.n_cut) == (1, 0)
    assert query.offsets.tolist() == [[0, 0], [0, 0], [0, 4], [5, 8], [8, 9], [0, 0]]
    assert document.offsets.tolist()[-3:] == [[0, 4], [5, 8], [10, 13]]
    assert not np.allclose(query.matrix[2], document.matrix[-3])


def test_c61_markers_and_lengths_come_from_the_folder_and_change_the_fingerprint(
    copy_of_mini, encoder
):
    marked = Encoder.load(copy_of_mini(query_marker="[unused5]", query_length=4))
    assert marked.query_length == 4
    assert marked.fingerprint != encoder.fingerprint
    assert not same(marked.encode_query(["blue sky"]), encoder.encode_query(["blue sky"]))
    assert [one.n_cut for one in marked.queries(["a b c d e f"])] == [2]
