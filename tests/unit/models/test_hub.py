"""Models by name: a stand-in for the hub's HTTP API, on this machine, with the real client."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants as constants
import pytest
import tiny

import interlace
from interlace.errors import CheckpointError, RemoteError
from interlace.models import Encoder
from interlace.models.hub import wanted

COMMIT, OLD = "c" * 40, "a" * 40


class Hub(ThreadingHTTPServer):
    """Serves models from folders: ``models[name][revision]`` is a commit, ``files`` by commit."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models, self.folders, self.private = {}, {}, {}
        self.fetched, self.is_down = [], False

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def publish(self, name, folder, commit=COMMIT, revision="main", token=None):
        self.models.setdefault(name, {})[revision] = commit
        self.models[name][commit] = commit
        self.folders[commit] = folder
        self.private[name] = token


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub = self.server
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if hub.is_down:
            return self.answer(503, b"")
        is_api = parts[:2] == ["api", "models"]
        rest = parts[2:] if is_api else parts
        name, rest = "/".join(rest[:2]), rest[2:]
        token = hub.private.get(name)
        if name not in hub.models or (
            token and self.headers.get("Authorization") != f"Bearer {token}"
        ):
            return self.answer(401, b"{}", **{"X-Error-Code": "RepoNotFound"})
        verb = rest.pop(0) if rest else "revision"
        commit = hub.models[name].get(rest.pop(0) if rest else "main")
        if commit is None:
            return self.answer(404, b"{}", **{"X-Error-Code": "RevisionNotFound"})
        folder = hub.folders[commit]
        if is_api:
            files = [one for one in sorted(folder.rglob("*")) if one.is_file()]
            names = [one.relative_to(folder).as_posix() for one in files]
            told = {"id": name, "sha": commit, "siblings": [{"rfilename": one} for one in names]}
            if verb == "tree":
                told = [
                    {"type": "file", "path": one, "size": path.stat().st_size, "oid": "0" * 40}
                    for one, path in zip(names, files, strict=True)
                ]
            return self.answer(
                200, json.dumps(told).encode(), **{"Content-Type": "application/json"}
            )
        path = folder.joinpath(*rest)
        if not path.is_file():
            return self.answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        content = path.read_bytes()
        if self.command == "GET":
            hub.fetched.append("/".join(rest))
        etag = hashlib.sha256(content).hexdigest()
        return self.answer(200, content, ETag=f'"{etag}"', **{"X-Repo-Commit": commit})

    def answer(self, status, content, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = Hub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + template)
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_model_by_name_is_that_of_the_folder(hub, tmp_path):
    made = tiny.pylate(tmp_path / "model")
    hub.publish("owner/tiny", made.folder)
    loaded, local = Encoder.load("owner/tiny"), Encoder.load(made.folder)
    assert (loaded.name, loaded.revision) == ("owner/tiny", COMMIT)
    assert loaded.fingerprint == local.fingerprint
    assert loaded.encode_query(["sky"])[0].tobytes() == local.encode_query(["sky"])[0].tobytes()


def test_only_what_is_used_is_fetched_and_only_once(hub, tmp_path):
    made = tiny.pylate(tmp_path / "model")
    (made.folder / "README.md").write_text("big")
    (made.folder / "openvino").mkdir()
    (made.folder / "openvino" / "openvino_model.bin").write_text("big")
    hub.publish("owner/tiny", made.folder)
    Encoder.load("owner/tiny")
    assert sorted(hub.fetched) == [
        "1_Dense/config.json",
        "1_Dense/model.safetensors",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "config.json",
        "config_sentence_transformers.json",
        "modules.json",
        "onnx/model.onnx",
        "sentence_bert_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    hub.fetched.clear()
    Encoder.load("owner/tiny")
    assert hub.fetched == []


def test_a_revision_is_pinned(hub, tmp_path):
    old, new = tiny.stanford(tmp_path / "old"), tiny.stanford(tmp_path / "new", doc_maxlen=15)
    hub.publish("owner/tiny", old.folder, OLD, "v1")
    hub.publish("owner/tiny", new.folder)
    assert Encoder.load("owner/tiny").document_length == 12
    for revision in ("v1", OLD):
        pinned = Encoder.load("owner/tiny", revision=revision)
        assert (pinned.revision, pinned.document_length) == (OLD, 17)
    with pytest.raises(RemoteError, match="owner/tiny"):
        Encoder.load("owner/tiny", revision="v2")


def test_without_the_network_what_was_fetched_does(hub, tmp_path, monkeypatch):
    made = tiny.pylate(tmp_path / "model")
    hub.publish("owner/tiny", made.folder)
    before = Encoder.load("owner/tiny")
    hub.is_down = True
    assert Encoder.load("owner/tiny").fingerprint == before.fingerprint
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = Encoder.load("owner/tiny")
    assert (offline.fingerprint, offline.revision) == (before.fingerprint, COMMIT)
    with pytest.raises(RemoteError, match="owner/other"):
        Encoder.load("owner/other")


def test_the_hub_may_be_left_alone(hub, tmp_path):
    made = tiny.pylate(tmp_path / "model")
    hub.publish("owner/tiny", made.folder)
    with pytest.raises(RemoteError, match=r"was not fetched before: owner/tiny\."):
        Encoder.load("owner/tiny", local_files_only=True)
    before = Encoder.load("owner/tiny")
    hub.fetched.clear()
    hub.models.clear()  # whoever asks is told that there is no such model
    again = Encoder.load("owner/tiny", local_files_only=True)
    assert (again.fingerprint, again.revision) == (before.fingerprint, COMMIT)


def test_what_a_collection_tells_fetches_nothing(hub, tmp_path, monkeypatch):
    hub.publish("owner/tiny", tiny.pylate(tmp_path / "model").folder)
    with interlace.create(tmp_path / "x.lace", "owner/tiny") as notes:
        notes.add(["the sky"])
    with interlace.open(tmp_path / "x.lace") as notes:
        assert notes.info(load=True)["encoder"]["backend"] == "onnx"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    with interlace.open(tmp_path / "x.lace") as notes:
        told = notes.info(load=True)
        assert (told["encoder"], "owner/tiny" in told["encoder_error"]) == (None, True)
        assert notes.search("the sky", k=1)[0].text == "the sky"  # which may fetch it


def test_a_private_model_wants_its_token(hub, tmp_path):
    made = tiny.next_plaid(tmp_path / "model")
    hub.publish("owner/secret", made.folder, token="hf_right")
    for token in (None, "hf_wrong"):
        with pytest.raises(RemoteError, match="owner/secret"):
            Encoder.load("owner/secret", token=token)
    assert Encoder.load("owner/secret", token="hf_right").dim == tiny.DIM


def test_an_unknown_or_unreachable_model_is_a_remote_error(hub, monkeypatch):
    with pytest.raises(RemoteError, match=r"(?s)owner/model.*Check name"):
        Encoder.load("owner/model")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RemoteError, match="owner/model"):
        Encoder.load("owner/model")


@pytest.mark.parametrize("name", ["owner/..", "owner/a b", "-owner/model"])
def test_what_cannot_be_a_name_is_no_model(hub, name):
    with pytest.raises(CheckpointError, match="neither a folder nor a hub name"):
        Encoder.load(name)


BOTH = [
    "README.md",
    "modules.json",
    "1_Dense/model.safetensors",
    "1_Dense/pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
    "onnx/model.onnx",
    "onnx/model.onnx_data",
    "onnx/model_int8.onnx",
    "onnx/nested/config.json",
]


@pytest.mark.parametrize(
    ("names", "precision", "weights", "expected"),
    [
        (
            BOTH,
            None,
            False,
            [BOTH[2], "modules.json", "onnx/model.onnx", "onnx/model.onnx_data"],
        ),
        (BOTH, "int8", False, [BOTH[2], "modules.json", "onnx/model_int8.onnx"]),
        (
            [*BOTH[:6]],
            None,
            False,
            [BOTH[2], "model.safetensors", "modules.json"],
        ),
        (
            ["artifact.metadata", "model.safetensors", "model.onnx", "modeling.py"],
            None,
            False,
            ["artifact.metadata", "model.onnx", "model.safetensors", "modeling.py"],
        ),
        (
            ["model.safetensors.index.json", "model-1.safetensors", "model-2.safetensors", "x.bin"],
            None,
            True,
            ["model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json"],
        ),
    ],
)
def test_files_in_use(names, precision, weights, expected):
    assert wanted(names, precision, weights) == expected
