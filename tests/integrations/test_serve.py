"""The server over real HTTP: what it answers, what it refuses, and how it fails."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from urllib.parse import urlencode, urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from serving import serving

import interlace
from interlace.errors import CheckpointError, InputError, SettingsError
from interlace.serve import BODY_BYTES_MAX, K_MAX, serve

RECORDS = [
    {"id": "sky", "text": "Rayleigh scattering makes the sky blue.", "metadata": {"year": 1871}},
    {"id": "sea", "text": "Rivers leave the sea salty.", "metadata": {"year": 2021}},
    {"id": 7, "text": "Ice is less dense than water, so it floats.", "metadata": {"year": 2024}},
]


@pytest.fixture
def served(notes):
    notes.add(RECORDS)
    with serving(notes.path) as url:
        yield Client(url)


class Client:
    """Asks a server; the status and the JSON that came back."""

    def __init__(self, url: str) -> None:
        self.at = urlsplit(url).netloc

    def get(self, path: str, **query: object):
        return self.send("GET", f"{path}?{urlencode(query)}")

    def post(self, **body: object):
        sent = json.dumps(body)
        return self.send("POST", "/api/search", sent, {"Content-Type": "application/json"})

    def send(self, method: str, path: str, body=None, headers=None):
        connection = HTTPConnection(self.at, timeout=60)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        read = answer.read()
        connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(read) if is_json else read


def test_a_search_is_what_the_library_finds(served, notes):
    query = "why is the sea salty"
    status, got = served.get("/api/search", query=query, k=2)
    assert status == 200
    assert got["query"] == query
    hits = notes.search(query, 2, mode="late", by="passage")
    assert [(one["pid"], one["rank"], one["text"]) for one in got["topk"]] == [
        (hit.id, hit.rank, hit.text) for hit in hits
    ]
    assert [one["score"] for one in got["topk"]] == [hit.score for hit in hits]
    first = got["topk"][0]
    assert (first["pid"], first["start"], first["end"]) == ("sea", 0, 27)
    assert first["metadata"] == {"year": 2021}
    assert sum(one["prob"] for one in got["topk"]) == pytest.approx(1)
    assert first["prob"] > got["topk"][1]["prob"] > 0
    assert served.post(query=query, k=2) == (status, got)


def test_ids_keep_their_type_and_k_is_ten_if_unsaid(served):
    _, got = served.get("/api/search", query="what floats")
    assert got["topk"][0]["pid"] == 7
    assert len(got["topk"]) == 3


def test_filters_and_modes(served):
    _, got = served.get("/api/search", query="sea", where="year < 2000")
    assert [one["pid"] for one in got["topk"]] == ["sky"]
    _, got = served.post(query="sea", where={"year": {"$gte": 2022}}, effort="exhaustive")
    assert [one["pid"] for one in got["topk"]] == [7]
    _, got = served.post(query="salty", mode="lexical", by="document")
    assert [one["pid"] for one in got["topk"]] == ["sea"]


def test_a_query_of_nothing_finds_nothing(served):
    assert served.post(query="") == (200, {"query": "", "topk": []})


def test_c77_what_is_added_and_deleted_meanwhile_it_finds_as_the_library_does(served, notes):
    notes.add([{"id": "lava", "text": "Basalt is cooled lava."}])
    _, got = served.get("/api/search", query="cooled lava")
    assert got["topk"][0]["pid"] == "lava"
    notes.delete(["sky"])
    _, got = served.get("/api/search", query="cooled lava")
    hits = notes.search("cooled lava", mode="late", by="passage")
    assert [(one["pid"], one["score"]) for one in got["topk"]] == [
        (hit.id, hit.score) for hit in hits
    ]
    assert {one["pid"] for one in got["topk"]} == {"lava", "sea", 7}
    assert served.get("/health") == (200, {"status": "ok", "documents": 3})


def test_c77_two_clients_while_a_third_writes_see_whole_documents(served, notes):
    """What is found has the text of its id, whichever commit a search saw."""
    texts = [f"Basalt of layer {i} is cooled lava." for i in range(12)]

    def ask(n):
        return [served.post(query="cooled lava", k=20) for _ in range(n)]

    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(ask, 12) for _ in range(2)]
        for i, text in enumerate(texts):
            notes.add([{"id": f"lava {i}", "text": text}])
            notes.delete([f"lava {i - 1}"])
        answers = [answer for future in asking for answer in future.result()]
    known = {one["id"]: one["text"] for one in RECORDS}
    known |= {f"lava {i}": text for i, text in enumerate(texts)}
    for status, got in answers:
        assert status == 200
        assert all(one["text"] == known[one["pid"]] for one in got["topk"])
    _, got = served.post(query="cooled lava")
    assert {one["pid"] for one in got["topk"]} == {"sky", "sea", 7, "lava 11"}


def test_c77_many_clients_at_once_get_their_own_answers(served, notes):
    queries = ["sky blue", "salty sea", "ice floats"] * 8
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda query: served.post(query=query, k=1), queries))
    for query, (status, got) in zip(queries, answers, strict=True):
        hit = notes.search(query, 1, mode="late", by="passage")[0]
        assert (status, got["query"]) == (200, query)
        assert (got["topk"][0]["pid"], got["topk"][0]["score"]) == (hit.id, hit.score)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, "query: Field required"),
        ({"query": "sea", "k": 0}, "k: "),
        ({"query": "sea", "k": -1}, "k: "),
        ({"query": "sea", "k": K_MAX + 1}, "k: "),
        ({"query": "sea", "k": "many"}, "k: "),
        ({"query": "sea", "wher": "year = 1"}, "wher: "),
        ({"query": "sea", "mode": "magic"}, "magic"),
        ({"query": "sea", "effort": "none"}, "none"),
        ({"query": "sea", "by": "page"}, "page"),
        ({"query": "sea", "where": "year >"}, "year >"),
        ({"query": "sea", "where": "month = 1"}, "month"),
    ],
)
def test_c76_bad_questions_are_refused_with_what_is_wrong(served, query, names):
    for status, got in (served.get("/api/search", **query), served.post(**query)):
        assert status == 422
        assert got.keys() == {"error", "message"}
        assert names in got["message"]


def test_c76_what_is_no_question_is_refused(served):
    typed = {"Content-Type": "application/json"}
    assert served.send("POST", "/api/search", "{", typed)[0] == 422
    assert served.send("POST", "/api/search", "[]", typed)[0] == 422
    assert served.send("PUT", "/api/search")[0] == 405
    assert served.get("/api/serch") == (404, {"error": "HTTPException", "message": "Not Found"})


def test_c76_a_query_of_a_megabyte_is_refused(served):
    status, got = served.post(query="sea " * 2**18)
    assert (status, got["error"]) == (413, "ContentTooLarge")
    assert str(BODY_BYTES_MAX) in got["message"]
    with suppress(ConnectionError):  # where the server has closed before all was sent
        assert served.get("/api/search", query="sea " * 2**18)[0] == 400
    chunks = (b'{"query": "sea"}' for _ in range(1))
    status, _ = served.send("POST", "/api/search", chunks, {"Content-Type": "application/json"})
    assert status == 411
    assert served.post(query="sea " * 2**13)[0] == 200  # and it goes on


def test_c76_a_folder_that_is_gone_fails_health_and_recovers(served, notes):
    moved = notes.path.with_name("moved.lace")
    notes.path.rename(moved)
    status, got = served.get("/health")
    assert (status, got["error"]) == (503, "NotACollection")
    assert str(notes.path) in got["message"]
    status, got = served.get("/api/search", query="salty sea", k=1)
    assert status == 503 or got["topk"][0]["pid"] == "sea"
    moved.rename(notes.path)
    assert served.get("/health")[0] == 200


def test_c76_a_collection_that_is_damaged_is_told_before_anything_is_served(notes):
    notes.add(RECORDS)
    notes.close()
    (notes.path / "catalog.sqlite").write_bytes(b"no database" * 1_000)
    command = [sys.executable, "-m", "interlace.cli", "serve", str(notes.path), "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "catalog.sqlite" in ran.stderr


def test_c76_a_body_without_end_is_hung_up_on(served):
    host, _, port = served.at.partition(":")
    head = b"POST /api/search HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(head)
        with pytest.raises(ConnectionError):
            client.sendall(chunk * 2**11)  # 128 MB
    assert served.get("/health")[0] == 200


def test_c76_a_model_that_goes_once_it_is_loaded_is_not_missed(copy_of_mini, tmp_path):
    model = copy_of_mini()
    with interlace.create(tmp_path / "own.lace", model=str(model)) as own:
        own.add(RECORDS)
    with serving(tmp_path / "own.lace") as url:
        model.rename(tmp_path / "elsewhere")
        status, got = Client(url).post(query="why is the sea salty", k=1)
        assert (status, got["topk"][0]["pid"]) == (200, "sea")
        assert Client(url).get("/health")[0] == 200


def test_c76_a_model_that_is_gone_is_told_before_anything_is_served(copy_of_mini, tmp_path):
    model = copy_of_mini()
    with interlace.create(tmp_path / "own.lace", model=str(model)) as own:
        own.add(["The sea is salty."])
    model.rename(tmp_path / "elsewhere")
    with interlace.open(tmp_path / "own.lace") as own, pytest.raises(CheckpointError):
        serve(own, ready=lambda _: pytest.fail("it was served"))


def test_a_port_that_is_taken_is_named(notes):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1"):
            serve(notes, port=port)
    with pytest.raises(SettingsError, match="port is 70000"):
        serve(notes, port=70000)
    with pytest.raises(InputError, match=r"no\.such\.invalid"):
        serve(notes, host="no.such.invalid")
