"""A codec is trained once and copied; segments built against it elsewhere are taken over."""

from __future__ import annotations

import numpy as np
import pytest
import storing
from storing import fill, found, record

from interlace import store
from interlace.errors import CollectionError, InputError, ModelMismatch


@pytest.fixture
def other(tmp_path):
    with store.create(tmp_path / "other", storing.settings()) as made:
        yield made


def test_a_codec_is_copied(opened, other):
    fill(opened, 0, 100)
    assert other.train_like(opened)
    assert not other.train_like(opened)
    assert other.info()["generation"] == opened.info()["generation"]
    fill(other, 500, 600)
    assert other.commit == 2
    assert other.info()["n_settled_segments"] == 1


def test_built_apart_and_attached_equals_built_together(opened, other, tmp_path):
    fill(opened, 0, 100)
    other.train_like(opened)
    fill(other, 100, 200, n_passages=2)
    fill(other, 200, 205)
    with other.write() as writer:
        writer.delete([150])
    assert store.attach(opened, other) == 104
    assert opened.snapshot().n_documents == 204
    assert list(opened.snapshot().ids()) == [i for i in range(205) if i != 150]
    for i in (0, 120, 199, 203):
        assert found(opened, record(i)) == [i]
    assert opened.verify().ok
    assert other.verify().ok
    assert other.snapshot().n_documents == 104
    matrix = record(120)[3][0].matrix
    scores = [
        store.search(one.snapshot(), matrix, 1, effort="exhaustive").scores
        for one in (opened, other)
    ]
    np.testing.assert_array_equal(*scores)
    fill(opened, 300, 400)
    opened.compact()
    assert opened.verify().ok
    assert found(opened, record(350)) == [350]


def test_attach_to_an_empty_store(opened, other):
    fill(other, 0, 100)
    fill(other, 100, 103)
    assert store.attach(opened, other) == 103
    assert opened.info()["generation"] == other.info()["generation"]
    assert found(opened, record(50)) == [50]
    assert opened.verify().ok


def test_attach_an_empty_store(opened, other):
    fill(opened, 0, 1)
    assert store.attach(opened, other) == 0
    assert opened.commit == 1


def test_an_id_in_both(opened, other, tmp_path):
    fill(opened, 0, 10)
    fill(other, 5, 6)
    with pytest.raises(InputError, match=r"id 5 is in both"):
        store.attach(opened, other)
    assert opened.snapshot().n_documents == 10
    assert opened.verify().ok


def test_codecs_trained_apart(opened, other):
    fill(opened, 0, 100)
    fill(other, 200, 300)
    with pytest.raises(CollectionError, match=r"trained or grown apart.*train_like"):
        store.attach(opened, other)
    with pytest.raises(CollectionError, match="grown apart"):
        opened.train_like(other)


def test_no_codec_to_copy(opened, other):
    with pytest.raises(CollectionError, match="nothing is settled yet"):
        opened.train_like(other)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"dim": 32}, InputError, "differ in dim"),
        ({"seed": 1}, InputError, "differ in seed"),
        ({"codec": "residual2"}, InputError, "differ in codec"),
        ({"model": {"name": "m"}}, ModelMismatch, "different models"),
    ],
)
def test_other_settings(opened, tmp_path, changed, error, message):
    with (
        store.create(tmp_path / "x", storing.settings(**changed)) as strange,
        pytest.raises(error, match=message),
    ):
        store.attach(opened, strange)
