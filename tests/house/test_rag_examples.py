"""The programs of examples/rag, run as users run them, against a stand-in of the API.

The stand-in answers from what it is sent, and from nothing else: a program that shows it no
passages gets no answer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

RAG = Path(__file__).parents[2] / "examples" / "rag"

PAGES = {
    "units.md": "# Units\n\nThe hertz is the unit of frequency, named after Heinrich Hertz.\n",
    "people/hertz.txt": "Heinrich Hertz was born in Hamburg in 1857.\n",
    "sea.md": "# The sea\n\nRivers carry minerals into the sea, and the salt stays there.\n",
}

#: One chat: what comes in, and the message that goes out.
Model = Callable[[dict[str, Any]], dict[str, Any]]


def passages(text: str) -> dict[str, str]:
    """The numbered passages in a text."""
    return dict(re.findall(r"^\[(\d+)\] (.*?)(?=\n\n\[\d+\]|\n\nQuestion:|\Z)", text, re.M | re.S))


def quoting(chat: dict[str, Any]) -> dict[str, Any]:
    """Quotes the sentence of the passages that says 'salt', and a passage that is not there."""
    for number, text in passages(chat["messages"][-1]["content"]).items():
        if "salt" in text:
            return {
                "role": "assistant",
                "content": f"Rivers bring it [{number}]. So they say [99].",
            }
    return {"role": "assistant", "content": "The passages do not say."}


def hopping(chat: dict[str, Any]) -> dict[str, Any]:
    """Looks for the unit, then for whoever it is named after, then answers."""
    (tool,) = chat["tools"]
    assert tool["function"]["name"] == "search"
    seen = passages("\n\n".join(m["content"] for m in chat["messages"] if m["role"] == "tool"))
    for number, text in seen.items():
        if born := re.search(r"born in (\w+)", text):
            first = next(n for n, text in seen.items() if "named after" in text)
            return {"role": "assistant", "content": f"In {born[1]} [{number}], says [{first}]."}
    named = re.search(r"named after ([\w ]+)\.", " ".join(seen.values()))
    if named is None and not seen:
        return calling({"query": "unit of frequency", "k": 1})
    assert named, seen
    return calling({"query": f"where was {named[1]} born", "k": 1})


def calling(arguments: Any) -> dict[str, Any]:
    """A message that asks for a search."""
    function = {"name": "search", "arguments": json.dumps(arguments)}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


@pytest.fixture
def run(tmp_path):
    """Runs a program against a model; its output, its errors, and what the model was sent."""
    for name, text in PAGES.items():
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def call(program: str, question: str, model: Model):
        chats: list[dict[str, Any]] = []

        class Endpoint(BaseHTTPRequestHandler):
            def do_POST(self):
                is_allowed = self.headers["Authorization"] == "Bearer secret"
                chat = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if not is_allowed or self.path != "/v1/chat/completions":
                    return self.answer(401, {"error": {"message": "no such key"}})
                chats.append(chat)
                return self.answer(200, {"choices": [{"index": 0, "message": model(chat)}]})

            def answer(self, status, body):
                sent = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            environment = {
                "OPENAI_API_KEY": "secret",
                **os.environ,
                "OPENAI_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1",
                "OPENAI_MODEL": "stand-in",
            }
            ran = subprocess.run(
                [sys.executable, str(RAG / program), "docs", question],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
            )
            server.shutdown()
        return ran, chats

    return call


def cited(line: str, folder: Path) -> str:
    """What stands at the characters that a footnote names."""
    name, start, end = re.search(r"\] (.+?), line \d+, characters (\d+) to (\d+)$", line).groups()
    return (folder / name).read_text(encoding="utf-8")[int(start) : int(end)]


def test_ask_answers_with_citations_that_point_into_the_files(run, tmp_path):
    for _ in range(2):  # the second time from what was indexed the first
        ran, chats = run("ask.py", "why is the sea salty", quoting)
        assert ran.returncode == 0, ran.stderr
        answer, footnote, unknown = ran.stdout.splitlines()
        assert answer.startswith("Rivers bring it [")
        assert "the salt stays there" in cited(footnote, tmp_path)
        assert "sea.md, line 1, " in footnote
        assert unknown.startswith("[99] is none of the passages")
    assert (tmp_path / "docs.lace").is_dir()
    (chat,) = chats
    assert chat["model"] == "stand-in"
    assert chat["messages"][0]["role"] == "system"
    assert chat["messages"][1]["content"].endswith("Question: why is the sea salty")


def test_the_agent_searches_again_with_what_it_learned(run, tmp_path):
    ran, chats = run("agent.py", "where was the namesake of the unit of frequency born", hopping)
    assert ran.returncode == 0, ran.stderr
    answer, *footnotes = ran.stdout.splitlines()
    assert answer == "In Hamburg [2], says [1]."
    assert ["named after Heinrich Hertz" in cited(line, tmp_path) for line in footnotes] == [
        True,
        False,
    ]
    assert "born in Hamburg" in cited(footnotes[1], tmp_path)
    assert len(chats) == 3
    assert "where was Heinrich Hertz born" in ran.stderr


def test_the_agent_tells_the_model_what_was_wrong_with_a_call(run):
    def clumsy(chat):
        last = chat["messages"][-1]
        if last["role"] == "user":
            return calling({"q": "sea"})
        if last["role"] == "tool" and "KeyError" in last["content"]:
            return calling({"query": "sea", "k": 0})
        assert "k" in last["content"]
        return {"role": "assistant", "content": "I do not know."}

    ran, chats = run("agent.py", "why is the sea salty", clumsy)
    assert (ran.returncode, ran.stdout) == (0, "I do not know.\n"), ran.stderr
    assert len(chats) == 3


def test_the_agent_does_not_go_on_for_ever(run):
    ran, chats = run("agent.py", "sea", lambda _: calling({"query": "sea"}))
    assert ran.returncode == 1
    assert "no answer after 8 steps." in ran.stderr
    assert len(chats) == 8
    assert "Nothing that you have not seen." in chats[-1]["messages"][-1]["content"]


def test_an_endpoint_that_refuses_is_named(run, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    ran, _ = run("ask.py", "sea", quoting)
    assert ran.returncode == 1
    assert re.search(r"http://127.0.0.1:\d+/v1 refused: 401 .*no such key", ran.stderr)


def test_without_an_endpoint_they_say_what_to_set(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPENAI_")}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("The sea is salty.")
    ran = subprocess.run(
        [sys.executable, str(RAG / "ask.py"), "docs", "sea"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "OPENAI_BASE_URL is not set" in ran.stderr
