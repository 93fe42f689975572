"""Golden checkpoints give the tokens, masks and embeddings that their makers' packages give.

The checkpoints and what the packages made of them are in ``golden/models``; where we differ from
every package, on purpose, says docs/explanation/checkpoints.md.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import parity
import pytest
from tokenizers import Tokenizer

from interlace.models import Encoder
from interlace.models.checkpoint import Checkpoint
from interlace.models.tokens import TextTokenizer

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "checkpoints.md"


@pytest.fixture(scope="module", params=parity.checkpoints())
def name(request):
    if not parity.folder(request.param).is_dir():
        pytest.skip(f"{request.param} is made by tests/golden/models/make.py")
    return request.param


@pytest.fixture(params=parity.ROLES)
def role(request):
    return request.param


def specials(name: str) -> dict[int, str]:
    """The special tokens of a checkpoint, by id."""
    tokenizer = Tokenizer.from_file(str(parity.folder(name) / "tokenizer.json"))
    added = tokenizer.get_added_tokens_decoder()
    return {number: token.content for number, token in added.items() if token.special}


def spelling(name: str) -> set[str]:
    """The names of the texts that spell a special token."""
    words = specials(name).values()
    return {key for key, text in parity.TEXTS.items() if any(word in text for word in words)}


def encoded(tokenizer: TextTokenizer, text: str, role: str) -> parity.Encoded:
    ours = tokenizer.tokens(text, role)
    seen = np.ones(len(ours.ids)) if ours.attention is None else ours.attention
    return parity.Encoded(ours.ids, seen.astype(bool), ours.kept, None, 0)


def test_tokens_and_masks_are_those_of_its_maker(name, role):
    tokenizer = TextTokenizer(Checkpoint.read(parity.folder(name)))
    wrong = {}
    for key, theirs in parity.read(name, parity.maker(name), role).items():
        ours = encoded(tokenizer, parity.TEXTS[key], role)
        if not ours.kept.any():
            assert not parity.TEXTS[key].strip(), "only a text without tokens gets no rows"
            ours = replace(ours, kept=theirs.kept)
        what = parity.differs(ours, theirs)
        if what is not None and key not in spelling(name):
            wrong[key] = (what, getattr(ours, what).tolist(), getattr(theirs, what).tolist())
    assert not wrong


def test_special_tokens_that_a_text_spells_are_text(name, role):
    tokenizer = TextTokenizer(Checkpoint.read(parity.folder(name)))
    assert spelling(name)
    for key in spelling(name):
        tokens = tokenizer.tokens(parity.TEXTS[key], role)
        of_the_text = tokens.ids[tokens.offsets.any(axis=1)]
        unknown = {number for number, word in specials(name).items() if "unk" in word.lower()}
        assert not {*of_the_text.tolist()} & (specials(name).keys() - unknown), key


def test_offsets_lie_in_the_text_as_it_was_given_and_in_order(name, role):
    tokenizer = TextTokenizer(Checkpoint.read(parity.folder(name)))
    for key, text in parity.TEXTS.items():
        tokens = tokenizer.tokens(text, role)
        spans = tokens.offsets[tokens.offsets.any(axis=1)]
        assert (spans[:, 0] <= spans[:, 1]).all(), key
        assert (spans <= len(text)).all(), key
        assert (spans[1:, 0] >= spans[:-1, 0]).all(), key
        if key in ("sentence", "space around", "Turkish") and not tokens.n_cut:
            assert text[spans[0, 0] : spans[-1, 1]].strip() == text.strip()


def test_embeddings_are_those_of_its_maker(name, role):
    if not (parity.folder(name) / "onnx").is_dir():
        pytest.skip("there is no graph of it")
    encoder = Encoder.load(parity.folder(name), n_threads=1)
    encode = encoder.encode_query if role == "query" else encoder.encode_document
    apart = {}
    for key, theirs in parity.read(name, parity.maker(name), role).items():
        (matrix,) = encode([parity.TEXTS[key]])
        if len(matrix) and key not in spelling(name):
            assert matrix.shape == theirs.embeddings.shape, key
            apart[key] = float(np.abs(matrix - theirs.embeddings).max())
    assert len(apart) >= 30
    assert max(apart.values()) < parity.TOLERANCE


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_what_others_export_runs_like_the_model_that_it_was_made_of(precision, role):
    """By next-plaid's own tool, which turns the filling of queries off."""
    encoder = Encoder.load(parity.EXPORTS / "next-plaid", precision=precision, n_threads=1)
    assert (encoder.backend, encoder.precision) == ("onnx", precision)
    encode = encoder.encode_query if role == "query" else encoder.encode_document
    cosines = []
    for key, theirs in parity.read("pylate-bert", "pylate", role).items():
        (matrix,) = encode([parity.TEXTS[key]])
        if len(matrix) and key not in spelling("pylate-bert"):
            expected = theirs.embeddings[: len(matrix)] if role == "query" else theirs.embeddings
            assert matrix.shape == expected.shape, key
            if precision == "float32":
                assert np.abs(matrix - expected).max() < parity.TOLERANCE
            cosines.append(np.einsum("ij,ij->i", matrix, expected))
    assert len(cosines) >= 30
    assert np.concatenate(cosines).mean() > 0.998


@pytest.mark.parametrize("name_", ["native-bert", "native-modernbert"])
def test_a_graph_that_optimum_made_runs_like_the_model(name_, role, tmp_path):
    folder = shutil.copytree(parity.folder(name_), tmp_path / name_)
    (folder / "onnx").mkdir()
    shutil.copy(parity.EXPORTS / "optimum" / f"{name_}.onnx", folder / "onnx" / "model.onnx")
    encoder = Encoder.load(folder, n_threads=1)
    assert encoder.backend == "onnx"
    encode = encoder.encode_query if role == "query" else encoder.encode_document
    n = 0
    for key, theirs in parity.read(name_, "sentence-transformers", role).items():
        (matrix,) = encode([parity.TEXTS[key]])
        if len(matrix) and key not in spelling(name_):
            np.testing.assert_allclose(matrix, theirs.embeddings, atol=parity.TOLERANCE)
            n += 1
    assert n >= 30


def test_the_page_says_what_was_measured():
    assert parity.table() in PAGE.read_text(encoding="utf-8"), "run tests/golden/models/make.py"


def test_packages_agree_on_the_embeddings_of_the_same_tokens():
    for name in parity.checkpoints():
        for package in parity.others(name):
            for role in parity.ROLES:
                for theirs in parity.read(name, package, role).values():
                    assert theirs.distance < 1e-5
