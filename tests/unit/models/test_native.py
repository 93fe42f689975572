"""The encoder in C++: the bytes of its NumPy twin on every instruction set, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from twin import twin

from interlace import kernels
from interlace.errors import SettingsError
from interlace.models import Encoder
from interlace.models.backends import graph, native
from interlace.models.checkpoint import Checkpoint

encoder_module = pytest.importorskip(
    "interlace.models.backends._encoder", reason="the C++ encoder is not built"
)

#: Around what is multiplied at once: 14 rows, 32 keys, pairs of values, 112 rows of feed-forward.
LENGTHS = [1, 2, 3, 13, 14, 15, 29, 31, 32, 33, 64, 97, 112, 113, 254, 512]


@pytest.fixture(scope="module")
def known(mini_folder):
    return native.known((mini_folder / "model.onnx").read_bytes())


@pytest.fixture(scope="module")
def texts(known):
    """Token ids of each length, and what the twin makes of them."""
    n_layers, arrays = known
    random = np.random.default_rng(7)
    found = []
    for length in LENGTHS:
        ids = random.integers(0, len(arrays["words"]), length)
        found.append((ids, twin(arrays, n_layers, ids)))
    return found


@pytest.mark.parametrize("table", encoder_module.NAMES)
def test_every_table_has_the_bytes_of_the_twin(table, mini_folder, texts):
    backend = native.NativeBackend(Checkpoint.read(mini_folder), table=table)
    few = texts if table != "portable" else texts[:10]
    for ids, expected in few:
        assert backend.run(ids).tobytes() == expected.tobytes(), len(ids)


def test_it_is_near_onnxruntime(encoder):
    other = Encoder.load("mini", backend="onnx")
    ours = Encoder.load("mini", backend="native")
    texts = ["Rayleigh scattering makes the daytime sky look blue.", "salt " * 200, "a"]
    pairs = zip(ours.encode_document(texts), other.encode_document(texts), strict=True)
    assert min((a * b).sum(axis=1).mean() for a, b in pairs) > 0.99


@pytest.mark.parametrize("ids", [[-1], [30_522], [101] * 513])
def test_what_is_no_text_of_the_model_is_refused(ids, mini_folder):
    backend = native.NativeBackend(Checkpoint.read(mini_folder))
    with pytest.raises(ValueError, match=r"no such token|too many tokens"):
        backend.run(np.array(ids))


def test_another_graph_is_left_to_onnxruntime(mini_folder, monkeypatch):
    _, arrays = graph.read((mini_folder / "model.onnx").read_bytes())
    monkeypatch.setattr(graph, "read", lambda _: graph.Graph("0" * 64, arrays))
    with pytest.raises(
        SettingsError, match=r'"native" cannot be used.*structure 0+\. Choose "auto"'
    ):
        Encoder.load("mini", backend="native")
    assert Encoder.load("mini").backend == "onnx"


@pytest.mark.parametrize("code", [65, -128])
def test_weights_that_could_overflow_are_left_to_onnxruntime(code, known, mini_folder, monkeypatch):
    n_layers, arrays = known
    name = "encoder.layer.3.narrow"
    wrong = arrays[name].copy()
    wrong[7, 5] = code
    monkeypatch.setattr(native, "known", lambda _: (n_layers, {**arrays, name: wrong}))
    with pytest.raises(SettingsError, match=r"encoder\.layer\.3\.narrow"):
        Encoder.load("mini", backend="native")


@pytest.mark.parametrize("forced", kernels.available())
def test_the_kernels_that_are_forced_are_the_encoders_too(forced):
    code = "from interlace.models import Encoder; print(Encoder.load('mini').backend)"
    environment = {**os.environ, "INTERLACE_KERNELS": forced}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == ("onnx" if forced in ("portable", "reference") else "native")


def test_a_graph_is_read_as_its_library_reads_it(mini_folder):
    onnx = pytest.importorskip("onnx", reason="reads the same file")
    path = mini_folder / "model.onnx"
    model = onnx.load(path)
    structure, arrays = graph.read(path.read_bytes())
    for initializer in model.graph.initializer:
        array = onnx.numpy_helper.to_array(initializer)
        assert arrays[initializer.name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[initializer.name], array)
    model.graph.node[12].attribute[0].i += 1
    assert graph.read(model.SerializeToString()).structure != structure


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x3a\xff\xff\xff\xff\x0f", b"\x80"])
def test_what_is_no_model_is_a_value_error(content):
    with pytest.raises(ValueError, match=r"not an ONNX model|unpack"):
        graph.read(content)
