"""What every format of model folders must do, run over the registry."""

from __future__ import annotations

import numpy as np
import pytest
import tiny

from interlace.errors import CheckpointError
from interlace.models import Encoder
from interlace.models.checkpoint import Checkpoint
from interlace.models.formats import FORMATS
from interlace.models.tokens import TextTokenizer

CLS, SEP, MASK = 2, 3, 4


@pytest.fixture(params=FORMATS)
def model(request, tmp_path):
    return tiny.MAKERS[request.param](tmp_path / "model")


def test_it_is_recognised(model, request):
    checkpoint = Checkpoint.read(model.folder)
    assert checkpoint.format == request.node.callspec.params["model"]
    assert checkpoint.dim == tiny.DIM
    assert (checkpoint.query_length, checkpoint.document_length) == (10, 20)
    assert checkpoint.query_expansion.strategy == "fixed"


def test_a_query_is_marked_and_filled_up(model):
    tokenizer = TextTokenizer(Checkpoint.read(model.folder))
    tokens = tokenizer.tokens("why is the sky blue?", "query")
    assert len(tokens.ids) == 10
    assert tokens.ids[0] == CLS
    assert tokens.ids[8] == SEP
    assert tokens.ids[9] == MASK
    assert tokens.attention.tolist() == [1] * 9 + [0]
    assert tokens.kept.all()
    assert tokens.offsets.tolist()[:3] == [[0, 0], [0, 0], [0, 3]]
    assert tokens.offsets.tolist()[-3:] == [[19, 20], [0, 0], [0, 0]]


def test_a_document_is_marked_and_loses_its_punctuation(model):
    tokenizer = TextTokenizer(Checkpoint.read(model.folder))
    query = tokenizer.tokens("sky", "query")
    tokens = tokenizer.tokens("The sky, blue.", "document")
    assert tokens.attention is None
    assert tokens.ids[1] != query.ids[1]
    assert tokens.kept.tolist() == [True, True, True, True, False, True, False, True]


def test_what_is_too_long_is_cut_with_everything_counted(model):
    encoder = Encoder.load(model.folder)
    assert (encoder.query_length, encoder.document_length) == (7, 17)
    (query,) = encoder.queries(["sky " * 9])
    (document,) = encoder.documents(["sky " * 19])
    assert (query.n_cut, len(query.matrix)) == (2, 10)
    assert (document.n_cut, len(document.matrix)) == (2, 20)


def test_the_matrix_is_what_the_arrays_say(model):
    encoder = Encoder.load(model.folder)
    tokenizer = TextTokenizer(Checkpoint.read(model.folder))
    for role, encode in (("query", encoder.queries), ("document", encoder.documents)):
        text = "How does the café sing? A sea!"
        tokens = tokenizer.tokens(text, role)
        expected = model.embeddings(tokens.ids, tokens.attention)[tokens.kept]
        (encoded,) = encode([text])
        np.testing.assert_allclose(encoded.matrix, expected, atol=1e-5)
        assert encoded.token_ids.tolist() == tokens.ids[tokens.kept].tolist()


def test_a_text_has_the_same_bytes_whatever_is_beside_it(model):
    encoder = Encoder.load(model.folder, n_threads=2)
    texts = ["the sky is blue", "", "sea " * 40, "why?"] * 3
    for encode in (encoder.encode_query, encoder.encode_document):
        for text, matrix in zip(texts, encode(texts), strict=True):
            assert encode([text])[0].tobytes() == matrix.tobytes()


def test_a_text_of_nothing_has_no_rows(model):
    encoder = Encoder.load(model.folder)
    assert encoder.encode_query([" "])[0].shape == (0, tiny.DIM)


def test_its_backend_is_onnxruntime(model):
    assert Encoder.load(model.folder).backend == "onnx"


def test_another_tokenizer_or_graph_is_another_fingerprint(model):
    before = Checkpoint.read(model.folder)
    path = model.folder / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    after = Checkpoint.read(model.folder)
    assert before.fingerprint != after.fingerprint
    with before.graph.open("ab") as file:
        file.write(b"\0")
    assert Checkpoint.read(model.folder).fingerprint != after.fingerprint


def test_without_a_tokenizer_it_is_refused(model):
    (model.folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json"):
        Checkpoint.read(model.folder)


def test_settings_that_are_no_json_are_refused_by_name(model):
    settings = Checkpoint.read(model.folder).settings
    settings.write_text("{" * 100_000)
    with pytest.raises(CheckpointError, match=settings.name):
        Checkpoint.read(model.folder)
