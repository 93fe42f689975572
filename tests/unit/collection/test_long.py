"""Documents of thousands of tokens, queries of hundreds: encoded, stored, settled, found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny

import interlace
from interlace import kernels
from interlace.errors import SettingsError
from interlace.kernels.api import WALKED_MAX

GOLDEN = Path(__file__).parents[2] / "golden" / "models" / "checkpoints"
LONG = 8_192
DIM = 16


def changed(folder: Path, name: str, **values) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A ModernBERT with random weights that reads 8,192 tokens of a document, 512 of a query."""
    made = tmp_path_factory.mktemp("models") / "long"
    shutil.copytree(GOLDEN / "pylate-modernbert", made)
    changed(made, "config.json", max_position_embeddings=LONG)
    changed(made, "tokenizer_config.json", model_max_length=LONG)
    changed(made, "sentence_bert_config.json", max_seq_length=LONG)
    changed(
        made,
        "config_sentence_transformers.json",
        document_length=LONG,
        query_length=512,
        do_query_expansion=False,
    )
    return made


@pytest.fixture(scope="module")
def long_text():
    """Sentences that are all different, each of some thirty tokens of bytes."""
    return " ".join(f"Lot {i} of {i * 7919 % 9973} kg went to port {i % 37}." for i in range(230))


def test_a_document_of_8192_tokens_is_one_passage_from_text_to_explanation(
    model, long_text, tmp_path
):
    encoder = interlace.Encoder.load(model)
    (n_tokens,) = encoder.count([long_text])
    assert 7_000 < n_tokens <= encoder.document_length
    with interlace.create(tmp_path / "x.lace", model=str(model), settle="manual") as opened:
        report = opened.add([{"id": "long", "text": long_text}])
        opened.add([{"id": i, "text": f"A note about harbour {i}."} for i in range(20)])
        assert (report.n_passages, report.cut) == (1, [])
        query = long_text[5_000:5_400]
        (asked,) = encoder.queries([query])
        assert 200 < len(asked.matrix) <= 512
        for settled in (False, True):
            if settled:
                opened.settle()
            hits = opened.search(query, k=3, mode="late", effort="exhaustive")
            assert hits.notes == ()
            (hit,) = [hit for hit in hits if hit.id == "long"]
            assert (hit.start, hit.end) == (0, len(long_text))
            told = opened.explain(query, hit)
            assert told.score == pytest.approx(hit.score, rel=1e-5)
            assert sum(m.similarity for m in told.matches) == pytest.approx(hit.score, rel=1e-4)
            assert len(told.matches) == len(asked.matrix)
            for match in told.matches:
                assert long_text[match.start : match.end] == match.text


def test_one_token_more_becomes_another_passage(model, long_text, tmp_path):
    text = long_text + " " + long_text[:5_000]
    encoder = interlace.Encoder.load(model)
    limit = encoder.document_length
    with interlace.create(tmp_path / "x.lace", model=str(model)) as opened:
        report = opened.add([{"id": "long", "text": text}])
        assert report.n_passages == -(-encoder.count([text])[0] // limit)
        assert report.cut == []
    with pytest.raises(SettingsError, match=f"the model reads {limit} tokens"):
        interlace.create(tmp_path / "y.lace", model=str(model), passage_tokens=limit + 1)


def test_a_query_beyond_the_limit_is_cut_and_says_so(model, long_text, tmp_path):
    encoder = interlace.Encoder.load(model)
    (n_tokens,) = encoder.count([long_text])
    with interlace.create(tmp_path / "x.lace", model=str(model)) as opened:
        opened.add(["A note about a harbour."])
        n_cut = n_tokens - encoder.query_length
        assert opened.search(long_text, mode="late").notes == (
            f"The query was cut: its last {n_cut} of {n_tokens} tokens were not read.",
        )


@pytest.mark.parametrize("n_words", [2, 7, 8, 300, 400])
def test_queries_longer_than_the_expansion_are_not_filled_up(n_words, tmp_path):
    """At least ten positions, three of which are markers; of a query 397 tokens are read."""
    fill = {"strategy": "min", "attend": False, "token": None, "length": 10}
    made = tiny.native(tmp_path / "model", query_length=400, query_expansion=fill)
    changed(made.folder, "config.json", max_position_embeddings=512)
    (encoded,) = interlace.Encoder.load(made.folder).queries(["sky " * n_words])
    assert len(encoded.matrix) == max(10, min(n_words, 397) + 3)
    assert (encoded.offsets[:, 1] > 0).sum() == min(n_words, 397)
    assert encoded.n_cut == max(0, n_words - 397)
    assert (encoded.token_ids == 4).sum() == max(0, 7 - n_words)  # [MASK]


# --- embeddings that are brought ------------------------------------------------------------------
def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def lengthy(tmp_path_factory):
    """Passages of 1 to 70,000 tokens, settled but for the last."""
    rng = np.random.default_rng(0)
    lengths = [1, 7, 300, LONG - 1, LONG, LONG + 1, 70_000, *[50] * 600]
    matrices = [unit(rng.normal(size=(n, DIM))) for n in lengths]
    ids = [rng.integers(0, 50, n).astype(np.int32) for n in lengths]
    path = tmp_path_factory.mktemp("lengthy") / "x.lace"
    with interlace.create(path, model=None, dim=DIM, bits=4, settle="manual") as opened:
        opened.add(
            [{"id": i, "text": ""} for i in range(len(matrices) - 1)],
            embeddings=matrices[:-1],
            token_ids=ids[:-1],
        )
        opened.settle()
        opened.add(
            [{"id": len(matrices) - 1, "text": ""}], embeddings=matrices[-1:], token_ids=ids[-1:]
        )
        yield opened, matrices


@pytest.mark.parametrize("q_tokens", [300, WALKED_MAX - 1, WALKED_MAX, WALKED_MAX + 1, 1_200])
@pytest.mark.parametrize("effort", ["balanced", "exhaustive"])
def test_queries_of_hundreds_of_tokens_find_the_passage_that_they_were_made_of(
    lengthy, q_tokens, effort
):
    opened, matrices = lengthy
    rng = np.random.default_rng(q_tokens)
    offsets = np.append(0, np.cumsum([len(matrix) for matrix in matrices])).astype(np.int64)
    tokens = np.concatenate(matrices)
    for target in (4, 6, 100, len(matrices) - 1):
        near = matrices[target][rng.integers(0, len(matrices[target]), q_tokens)]
        query = unit(near + 0.02 * rng.normal(size=near.shape))
        exact = kernels.table().maxsim(query, tokens, offsets, 1)
        hits = opened.search(embeddings=query, k=5, effort=effort)
        assert hits[0].id == target
        assert hits[0].score == pytest.approx(exact[target], rel=0.01)
        told = opened.explain("", hits[0], embeddings=query)
        assert len(told.matches) == q_tokens
        assert told.score == pytest.approx(hits[0].score, rel=1e-5)
