"""Models on MLX: the embeddings of their makers, threads, files in parts, what it cannot run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import parity
import pytest
import tiny
from safetensors.numpy import load_file, save_file

from interlace.errors import CheckpointError, MissingExtra, SettingsError
from interlace.models import Encoder
from interlace.models.backends import Running, load
from interlace.models.checkpoint import Checkpoint

TEXTS = ["why is the sky blue?", "", "x " * 400, "Café 1 2 3", "a link, and more of it"]

SEEN = np.array([1] * 6 + [0] * 34)


@pytest.fixture(scope="module")
def mlx():
    return pytest.importorskip("mlx.core", reason="the extra mlx is not installed")


@pytest.fixture
def copied(tmp_path):
    """A copy of a golden checkpoint, with other fields in its ``config.json``."""

    def copy(name, **changes):
        folder = tmp_path / name
        shutil.copytree(parity.folder(name), folder)
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tiny.write_json(folder / "config.json", said | changes)
        return folder

    return copy


def backend(folder, **running):
    return load("mlx", Checkpoint.read(folder), Running(**running))[1]


@pytest.mark.parametrize("role", parity.ROLES)
@pytest.mark.parametrize("name", parity.checkpoints())
def test_the_tokens_of_its_maker_give_the_embeddings_of_its_maker(mlx, name, role):
    if not parity.folder(name).is_dir():
        pytest.skip(f"{name} is made by tests/golden/models/make.py")
    runs = backend(parity.folder(name))
    theirs = parity.read(name, parity.maker(name), role)
    apart = {
        key: np.abs(runs.run(one.ids.astype(np.int64), one.attention)[one.kept] - one.embeddings)
        for key, one in theirs.items()
    }
    assert max(one.max() for one in apart.values() if one.size) < parity.TOLERANCE


@pytest.mark.parametrize("name", ["stanford-bert", "pylate-modernbert"])
def test_a_text_is_the_same_in_company_and_on_many_threads(mlx, name):
    encoder = Encoder.load(parity.folder(name), backend="mlx", n_threads=4)
    with ThreadPoolExecutor(8) as pool:
        runs = [*pool.map(lambda _: encoder.encode_document(TEXTS), range(16))]
    alone = [encoder.encode_document([text])[0].tobytes() for text in TEXTS]
    for together in runs:
        assert [matrix.tobytes() for matrix in together] == alone


def test_threads_that_came_by_leave_nothing_and_stop_no_process(mlx):
    code = (
        "import pathlib, sys; from interlace.models import Encoder;"
        "encoder = Encoder.load(sys.argv[1], backend='mlx', n_threads=4);"
        "status = pathlib.Path('/proc/self/status').read_text;"
        "count = lambda: int(status().split('Threads:')[1].split()[0]);"
        "encoder.encode_document(['a', 'b', 'c', 'd']); first = count();"
        "[encoder.encode_document(['a', 'b', 'c', 'd']) for _ in range(30)];"
        "sys.exit(count() > first + 8)"
    )
    for _ in range(3):
        folder = str(parity.folder("stanford-bert"))
        subprocess.run([sys.executable, "-c", code, folder], check=True, timeout=60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize("anew", [False, True])
def test_a_forked_process_is_told_so(mlx, anew):
    runs = backend(parity.folder("stanford-bert"))
    child = os.fork()
    if child == 0:
        try:
            runs = backend(parity.folder("stanford-bert")) if anew else runs
            runs.run(np.array([1, 2]))
        except SettingsError as refused:
            os._exit(7 if "fork" in str(refused) else 1)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_it_is_taken_where_there_is_no_graph_and_no_torch(mlx, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert Encoder.load(parity.folder("stanford-cased")).backend == "mlx"


def test_who_sees_nothing_near_still_gets_a_row(mlx):
    ids = np.arange(5, 45)
    runs = backend(parity.folder("native-modernbert"))
    rows = runs.run(ids, SEEN)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    # What is not seen changes nothing but its own row.
    ids[30] = 4
    changed = np.abs(runs.run(ids, SEEN) - rows).max(axis=1) > 1e-6
    assert changed.tolist() == [i == 30 for i in range(40)]


def test_files_in_parts_are_read(mlx, copied):
    folder = copied("pylate-bert")
    whole = Encoder.load(folder, backend="mlx").encode_document(TEXTS)
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = {f"model-{i}.safetensors": sorted(weights)[i::2] for i in range(2)}
    for file, names in parts.items():
        save_file({name: weights[name] for name in names}, folder / file)
    places = {name: file for file, names in parts.items() for name in names}
    tiny.write_json(folder / "model.safetensors.index.json", {"weight_map": places})
    in_parts = Encoder.load(folder, backend="mlx").encode_document(TEXTS)
    assert [one.tobytes() for one in in_parts] == [one.tobytes() for one in whole]


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["stanford-bert", "native-modernbert"])
def test_half_precision_is_near_and_another_model(mlx, name, precision):
    whole = Encoder.load(parity.folder(name), backend="mlx")
    half = Encoder.load(parity.folder(name), backend="mlx", precision=precision)
    assert whole.fingerprint != half.fingerprint
    one, other = whole.encode_document(TEXTS)[0], half.encode_document(TEXTS)[0]
    assert 0.99 < (one * other).sum(axis=1).min() < 1 - 1e-7


@pytest.mark.parametrize("name", ["stanford-bert", "stanford-distilbert", "native-modernbert"])
def test_rounded_weights_are_near_and_the_same_every_time(mlx, name):
    folder = parity.folder(name)
    whole = Encoder.load(folder, backend="mlx")
    found = {bits: Encoder.load(folder, backend="mlx", precision=bits) for bits in ("int8", "int4")}
    assert len({whole.fingerprint, *(one.fingerprint for one in found.values())}) == 3
    near = {bits: one.compare(whole).mean_cosine for bits, one in found.items()}
    assert 0.9 < near["int4"] < near["int8"] < 1 - 1e-6
    assert near["int8"] > 0.999
    again = Encoder.load(folder, backend="mlx", precision="int4").encode_document(TEXTS)
    for one, other in zip(found["int4"].encode_document(TEXTS), again, strict=True):
        assert one.tobytes() == other.tobytes()


def test_rows_that_cannot_be_rounded_in_groups_are_named(mlx, monkeypatch):
    from interlace.models.backends import mlx as runs

    monkeypatch.setattr(runs, "_GROUPS", (64,))  # where the rows of the golden model have 32
    with pytest.raises(SettingsError, match=r"groups of 64, .*rows of 32.*word_embeddings"):
        backend(parity.folder("native-bert"), precision="int8")
    assert backend(parity.folder("native-bert"), precision="float16")


def test_ids_beyond_the_tables_are_refused(mlx):
    runs = backend(parity.folder("stanford-bert"))
    for ids in ([1, 128], [-1, 2], [1] * 65):
        with pytest.raises(CheckpointError, match="128 words and 64 positions"):
            runs.run(np.array(ids))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"hidden_size": 16}, r"must have the shape \(128, 16\), not \(128, 32\)"),
        ({"num_hidden_layers": 3}, r"encoder\.layer\.2\..*is missing"),
        ({"num_attention_heads": 3}, "num_attention_heads"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps"),
    ],
)
def test_weights_that_contradict_the_settings_name_the_field(mlx, copied, changes, match):
    with pytest.raises(CheckpointError, match=match):
        backend(copied("native-bert", **changes))


def test_a_damaged_file_is_named(mlx, copied):
    folder = copied("native-bert")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"cannot be read as safetensors.*model\.safetensors"):
        backend(folder)


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("native-bert", {"model_type": "t5"}, r'bert, .*modernbert, not "t5"'),
        ("native-bert", {"hidden_act": "softsign"}, "softsign"),
        ("native-bert", {"position_embedding_type": "relative_key"}, "absolute"),
        ("native-bert", {"auto_map": {"AutoModel": "evil.Model"}}, "modernbert, not"),
        ("native-modernbert", {"rope_scaling": {"type": "yarn"}}, "unscaled"),
    ],
)
def test_what_it_cannot_run_is_left_to_others(mlx, copied, name, changes, match):
    with pytest.raises(SettingsError, match=match):
        backend(copied(name, **changes))


def test_a_device_of_others_is_refused(mlx):
    assert backend(parity.folder("native-bert"), device="cpu")
    with pytest.raises(SettingsError, match='not "cuda"'):
        backend(parity.folder("native-bert"), device="cuda")


def test_pickles_and_our_own_folders_are_not_for_mlx(copied, tmp_path):
    folder = copied("native-bert")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(SettingsError, match="no pickle"):
        backend(folder)
    tiny.own(tmp_path / "own")
    with pytest.raises(SettingsError, match="no weights for MLX"):
        backend(tmp_path / "own")


def test_without_mlx_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlx", None)
    monkeypatch.setitem(sys.modules, "mlx.core", None)
    with pytest.raises(MissingExtra, match=r"interlace\[mlx\]"):
        backend(parity.folder("native-bert"))
