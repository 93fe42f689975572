"""Damaged and hostile model folders: a model comes of it, or a typed error.

Graphs are only cut, not changed within: what onnxruntime makes of their inside is its own affair.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import tiny
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlace.errors import CheckpointError, MissingExtra, SettingsError
from interlace.models import Encoder
from interlace.models.formats import FORMATS

ODD = [
    None,
    True,
    -1,
    0,
    1,
    10**9,
    10**30,
    1e308,
    float("nan"),
    "",
    "../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "\ud800",
    "os.system",
    [],
    {},
    [[]],
    ["[MASK]"] * 3,
    {"content": ["x"]},
    {"strategy": "fixed", "length": 10**8},
]


def _containers(value):
    """Every object and list inside a JSON value."""
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _containers(inner)


def _change_value(data, path: Path) -> None:
    """Another value, one too many or one too few, anywhere in a JSON file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    places = [one for one in _containers(values) if one][:200]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    keys = list(place) if isinstance(place, dict) else range(len(place))
    key = data.draw(st.sampled_from(list(keys)[:200]))
    odd = data.draw(st.sampled_from(ODD) | st.just("remove"))
    if odd == "remove":
        del place[key]
    else:
        place[key] = odd
    path.write_text(json.dumps(values), encoding="utf-8")


def _change_bytes(data, path: Path) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        content[at : at + 1] = data.draw(st.binary(min_size=0, max_size=3))
    path.write_bytes(content)


def _cut(data, path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])


def _remove(data, path: Path) -> None:
    path.unlink()
    if data.draw(st.booleans()):
        path.mkdir()


def _nest(data, path: Path) -> None:
    path.write_text(data.draw(st.sampled_from(["[", '{"a":'])) * 200_000)


def _link(data, path: Path) -> None:
    path.unlink()
    path.symlink_to(data.draw(st.sampled_from([path.name, "..", "/dev/null", "nothing"])))


@pytest.fixture(scope="module", params=FORMATS)
def pristine(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    tiny.MAKERS[request.param](folder)
    return folder


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_model_or_a_typed_error_comes_of_it(pristine, data):
    folder = pristine.with_name("damaged")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
    for _ in range(data.draw(st.integers(1, 3))):
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        path = data.draw(st.sampled_from(paths), label="file")
        ways = [_cut, _remove, _link]
        if path.suffix in (".json", ".metadata"):
            ways += [_change_value, _change_value, _change_bytes, _nest]
        elif path.suffix == ".safetensors":
            ways += [_change_bytes]
        way = data.draw(st.sampled_from(ways), label="way")
        with suppress(ValueError, RecursionError):  # no JSON any more
            way(data, path)
    try:
        encoder = Encoder.load(folder, n_threads=1)
        if max(encoder.query_length, encoder.document_length) < 1000:
            for matrix in (*encoder.encode_query(["the sky"]), *encoder.encode_document(["sea."])):
                assert matrix.shape[1] == encoder.dim
    except CheckpointError as refused:
        told = str(refused)
    except (MissingExtra, SettingsError):  # nothing is left that runs here
        return
    else:
        return
    assert str(folder) in told
