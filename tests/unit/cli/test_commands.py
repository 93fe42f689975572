"""Each command is one call: what it prints, and how it exits."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import interlace
from interlace import store
from interlace.cli import hits
from interlace.cli.app import app, exit_code
from interlace.errors import InterlaceError
from interlace.store.drift import advice

RECORDS = [
    {"id": "sky", "text": "Rayleigh scattering makes the sky blue.", "metadata": {"year": 1871}},
    {"id": "bread", "text": "Bread is baked in an oven."},
    {"id": 7, "text": "A knight moves in the shape of an L."},
]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


@pytest.fixture
def filled(run, lines):
    assert run("index", lines, "--to", "notes.lace").code == 0
    return "notes.lace"


def test_index_then_index_again(run, lines):
    ran = run("index", lines, "--to", "notes.lace", "--json")
    assert ran.code == 0
    (report,) = ran.records
    assert (report["added"], report["n_documents"], report["empty"]) == (3, 3, [])
    (again,) = run("index", lines, "--to", "notes.lace", "--json").records
    assert (again["added"], again["n_files_unchanged"], again["n_tokens"]) == (0, 1, 0)


def test_index_for_people_says_what_it_did(run, lines, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "blank.txt").write_text(" \n")
    (tmp_path / "docs" / "photo.png").write_bytes(b"\x89PNG")
    ran = run("index", lines, "docs", "--to", "notes.lace")
    assert ran.code == 0
    assert re.search(r"files +1 new", ran.out)
    assert re.search(r"documents +3 added", ran.out)
    assert re.search(r"passages +3, each of at most 254 tokens, overlap 0", ran.out)
    assert re.search(r"collection +.*notes\.lace, 3 documents", ran.out)
    assert "docs/blank.txt" in ran.err
    assert ".png" in ran.err
    assert "--list-skipped" in ran.err


def test_index_again_says_what_became_of_files(run, lines, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in "abc":
        (docs / f"{name}.txt").write_text(f"About the letter {name}.")
    assert run("index", "docs", "--to", "x.lace").code == 0
    (docs / "a.txt").write_text("About another letter.")
    (docs / "b.txt").unlink()
    (docs / "d.md").write_text("# Letters\n\nAbout the letter d.")
    ran = run("update", "x.lace")
    assert re.search(r"files +1 new, 1 changed, 1 unchanged, 1 removed", ran.out)
    assert re.search(r"documents +1 added, 1 replaced, 1 removed", ran.out)
    (report,) = run("update", "x.lace", "--json").records
    assert (report["n_files_unchanged"], report["added"], report["n_tokens"]) == (3, 0, 0)
    assert report["n_documents"] == 3


def test_all_that_was_skipped_can_be_listed(run, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "good.txt").write_text("Good words.")
    for i in range(20):
        (docs / f"{i:02}.mp3").write_bytes(b"\0\1\2")
    ran = run("index", "docs", "--to", "x.lace")
    assert ran.code == 0
    assert "docs/00.mp3" in ran.err
    assert "docs/19.mp3" not in ran.err
    ran = run("index", "docs", "--to", "x.lace", "--list-skipped")
    assert all(f"docs/{i:02}.mp3" in ran.err for i in range(20))
    (report,) = run("index", "docs", "--to", "x.lace", "--json").records
    assert report["n_skipped"] == 20
    assert report["skipped"][0]["where"] == "docs/00.mp3"
    assert report["skipped"][0]["why"]


def test_which_columns_are_read(run, tmp_path):
    (tmp_path / "t.csv").write_text("name,about,more\nsky,blue air,high\nsea,salt water,deep\n")
    ran = run(
        "index", "t.csv", "--to", "x.lace",
        "--id-field", "name", "--text-field", "about", "--text-field", "more",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (hit,) = run("search", "x.lace", "deep", "-k", 1, "--json").records
    assert hit["id"] == "sea"
    assert "salt water" in hit["text"]
    assert "--id-field name" in run("sources", "x.lace").out


def test_hidden_and_ignored_files_are_read_when_asked(run, tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / ".gitignore").write_text("left.txt\n")
    for name in ("left.txt", ".hidden.txt", "plain.txt"):
        (docs / name).write_text(f"The words of {name}.")

    def ids(*options):
        run("index", "docs", "--to", "x.lace", *options)
        return {hit["id"] for hit in run("search", "x.lace", "words", "--json").records}

    assert ids() == {"docs/plain.txt"}
    assert "docs/left.txt" in ids("--no-ignore")
    assert "docs/.hidden.txt" in ids("--hidden")


def test_the_overlap_of_passages_is_stored_and_shown(run, lines):
    ran = run("index", lines, "--to", "x.lace", "--passage-tokens", 60, "--passage-overlap", 12)
    assert re.search(r"at most 60 tokens, overlap 12", ran.out)
    (info,) = run("info", "x.lace", "--json").records
    assert (info["passage_tokens"], info["passage_overlap"]) == (60, 12)
    ran = run("index", lines, "--to", "x.lace", "--passage-overlap", 13)
    assert (ran.code, "--passage-overlap is 13, but" in ran.err) == (2, True)


def test_sources_and_forget(run, lines, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text("About the letter a.")
    run("index", lines, "docs", "--to", "x.lace")
    found = run("sources", "x.lace", "--json").records
    assert [one["path"] for one in found] == [str(lines), str(tmp_path / "docs")]
    assert found[1]["label"] == "docs"
    assert "docs" in run("sources", "x.lace").out
    ran = run("forget", "x.lace", "docs")
    assert (ran.code, "1 document removed" in ran.out) == (0, True)
    assert (tmp_path / "docs" / "a.txt").exists()
    ran = run("forget", "x.lace", "docs")
    assert ran.code == 2
    assert "in.jsonl" in ran.err
    (told,) = run("forget", "x.lace", lines, "--json").records
    assert told == {"removed": 3, "n_documents": 0}
    assert "None:" in run("sources", "x.lace").out


def test_watching_says_what_changed_until_it_is_interrupted(run, tmp_path, monkeypatch):
    pytest.importorskip("watchfiles", reason="the extra documents is not installed")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("About the letter a.")

    def watch(self, **_):
        yield self.update()
        (docs / "b.txt").write_text("About the letter b.")
        (docs / "c.mp3").write_bytes(b"\0")
        yield self.update()
        yield self.update()
        raise KeyboardInterrupt

    monkeypatch.setattr(interlace.Collection, "watch", watch)
    ran = run("index", "docs", "--to", "x.lace", "--watch")
    assert ran.code == 0
    assert re.search(r"\d\d:\d\d:\d\d  files 1 new, 1 unchanged; documents 1 added", ran.out)
    assert "watching 1 source" in ran.err
    assert ran.err.count("left out: docs/c.mp3") == 1
    (docs / "b.txt").unlink()
    records = run("update", "x.lace", "--watch", "--json").records
    assert [(one["n_files_new"], one["n_files_removed"]) for one in records] == [(0, 1), (1, 0)]


@pytest.mark.slow
def test_watching_real_files(run, tmp_path):
    pytest.importorskip("watchfiles", reason="the extra documents is not installed")
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.txt").write_text("About the letter a.")
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-m", "interlace.cli", "index", "docs", "--to", "x.lace", "--watch",
         "--json"],
        stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=env,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["n_files_new"] == 1
        time.sleep(2)  # the watcher has no way to say that it has begun
        (docs / "b.txt").write_text("About the letter b.")
        assert json.loads(process.stdout.readline())["n_files_new"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_index_from_standard_input(run):
    stdin = '{"id": "a", "text": "from a pipe"}\n'
    assert run("index", "-", "--to", "notes.lace", stdin=stdin).code == 0
    assert [hit["id"] for hit in run("search", "notes.lace", "pipe", "--json").records] == ["a"]


def test_index_settings_of_an_old_collection_cannot_change(run, lines, filled):
    ran = run("index", lines, "--to", filled, "--bits", "2")
    assert ran.code == 2
    assert "bits is 2, but the collection was made with 4" in ran.err
    assert run("index", lines, "--to", filled, "--bits", "4").code == 0


def test_index_refuses_another_model_for_an_old_collection(run, lines, filled, monkeypatch):
    # The fixture loads the same model whatever the name: these are the same weights.
    assert run("index", lines, "--to", filled, "--model", "a/copy").code == 0
    monkeypatch.setattr(interlace.Encoder, "fingerprint", "0" * 64)
    ran = run("index", lines, "--to", filled, "--model", "other/model")
    assert ran.code == 2
    assert "model is other/model, but the collection was made with mini" in ran.err


def test_index_with_a_model_into_a_collection_without_one(run, lines):
    interlace.create("own.lace", model=None, dim=8).close()
    ran = run("index", lines, "--to", "own.lace", "--model", "mini")
    assert (ran.code, "made with none" in ran.err) == (2, True)


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no /dev/fd on this system")
@pytest.mark.parametrize("command", ["index", "encode"])
def test_a_pipe_is_read_once(run, command):
    reading, writing = os.pipe()
    os.write(writing, b'{"id": "a", "text": "from a pipe"}\n')
    os.close(writing)
    ran = run(command, f"/dev/fd/{reading}", "--format", "jsonl", "--to", f"{command}.out")
    os.close(reading)
    assert ran.code == 0
    assert re.search(r"(documents|texts) +1\b", ran.out)


def test_index_counts_all_that_were_empty(run):
    blank = "".join(json.dumps({"id": i, "text": "\u200b"}) + "\n" for i in range(130))
    ran = run("index", "-", "--to", "x.lace", stdin=blank)
    assert "0, 1, 2, 3, 4 and 125 more" in ran.err


def test_an_interrupt_says_what_is_stored(run, lines, monkeypatch):
    def interrupted(self, *paths, progress, **_):
        self.add(["one", "two"])
        progress("read", 3, 6)
        raise KeyboardInterrupt

    monkeypatch.setattr(interlace.Collection, "index", interrupted)
    ran = run("index", lines, "--to", "notes.lace")
    assert ran.code == 130
    assert re.search(r"interrupted; .*notes\.lace has 2 documents", ran.err)
    assert "Run the same command again" in ran.err


def test_search_for_machines_and_for_people(run, filled):
    ran = run("search", filled, "why is the sky blue", "-k", "2", "--json")
    assert [hit["rank"] for hit in ran.records] == [1, 2]
    assert ran.records[0]["id"] == "sky"
    assert ran.records[0]["metadata"] == {"year": 1871}
    assert "snippet" not in ran.records[0]
    shown = run("search", filled, "why is the sky blue", "--k", 1)
    assert "sky" in shown.out
    assert "Rayleigh" in shown.out


def test_search_by_words_by_tokens_and_by_both(run, filled, monkeypatch):
    (hit,) = run("search", filled, "BLUE scatterings", "--mode", "lexical", "--json").records
    assert (hit["id"], hit["late_score"], hit["mean_score"]) == ("sky", None, None)
    assert hit["score"] == hit["lexical_score"] > 0
    shown = run("search", filled, "scatterings", "--mode", "lexical")
    assert re.search(r"^ +words\n +1 +\d+\.\d  in\.jsonl:1  sky", shown.out, re.MULTILINE)
    assert run("search", filled, "unheard", "--mode", "lexical").out == "Nothing found.\n"
    both = run("search", filled, "blue sky", "--json").records[0]
    assert both["late_score"] > both["mean_score"] > 0 < both["lexical_score"]
    names, head, *_ = run("search", filled, "blue sky").out.splitlines()
    assert names.split() == ["score", "meaning", "words"]
    assert re.match(r"  1  \d\.\d{3} +\d\.\d{3} +\d+\.\d  in\.jsonl:1  sky", head)
    monkeypatch.setenv("INTERLACE_MODE", "late")
    assert run("search", filled, "blue sky", "--json").records[0]["lexical_score"] is None
    wrong = run("search", filled, "x", "--mode", "fuzzy")
    assert (wrong.code, "mode is 'fuzzy'. Choose" in wrong.err) == (2, True)


def test_a_line_of_json_has_the_documented_fields(run, tmp_path):
    text = "# Skies\n\nIntroduction.\n\n## Blue\n\nRayleigh scattering makes the sky blue.\n"
    (tmp_path / "sky.md").write_text(text)
    run("index", "sky.md", "--to", "x.lace")
    (hit,) = run("search", "x.lace", "why is the sky blue", "--json", "--snippets").records
    documented = {
        name
        for line in re.findall(r"^([a-z_]+(?:, [a-z_]+)*)  ", hits.__doc__, re.MULTILINE)
        for name in line.split(", ")
    }
    assert set(hit) == documented - {"query"}
    assert (hit["file"], hit["page"]) == ("sky.md", None)
    assert hit["line"] >= 1
    assert text[hit["start"] : hit["end"]] == hit["text"]
    cut = hit["snippet"]
    assert text[cut["start"] : cut["end"]] == cut["text"]
    assert "sky" in [cut["text"][start:end] for start, end in cut["marks"]]


def test_a_hit_for_people_has_its_place_and_the_words_that_answer(run, tmp_path):
    filler = "Nothing of interest is said here, and it goes on for long. " * 40
    text = f"# Skies\n\n## Blue\n\n{filler}\n\nRayleigh scattering makes the sky blue.\n"
    (tmp_path / "sky.md").write_text(text)
    run("index", "sky.md", "--to", "x.lace")
    shown = run("search", "x.lace", "why is the sky blue", "-k", 1).out
    assert "sky.md:7" in shown  # the line of the word, not of the passage
    assert "Skies › Blue" in shown
    assert "… " in shown
    assert "Rayleigh scattering makes the sky blue." in " ".join(shown.split())
    whole = run("search", "x.lace", "why is the sky blue", "-k", 1, "--full").out
    assert len(whole) > len(shown)


def test_words_need_no_quotes(run, filled):
    (hit, *_) = run("search", filled, "why", "is", "the", "sky", "blue", "--json").records
    assert hit["id"] == "sky"
    assert run("explain", filled, "blue", "sky", "--json").records[0]["query"] == "blue sky"


def test_search_among_ids_of_either_type(run, filled):
    ran = run("search", filled, "x", "--ids", "7", "--ids", "sky", "--json")
    assert {hit["id"] for hit in ran.records} == {7, "sky"}
    ran = run("search", filled, "x", "--ids", "nobody")
    assert (ran.code, "no such document: id 'nobody'" in ran.err) == (2, True)


@pytest.mark.parametrize(
    "name", ["--5", "007", "-0", "\u0665", "-", pytest.param("9" * 5_000, id="5,000 digits")]
)
def test_what_python_does_not_write_as_a_number_is_a_name(run, filled, name):
    ran = run("search", filled, "x", f"--ids={name}")
    assert (ran.code, f"no such document: id {name!r}" in ran.err) == (2, True)


def test_an_empty_query_finds_nothing_and_says_so(run, filled):
    ran = run("search", filled, " ")
    assert (ran.code, ran.out.strip()) == (0, "Nothing found.")
    assert "The query is empty" in ran.err


def test_explain(run, filled):
    (explanation,) = run("explain", filled, "blue sky", "--json").records
    assert explanation["id"] == "sky"
    similarity = sum(match["similarity"] for match in explanation["matches"])
    assert similarity == pytest.approx(explanation["score"], abs=1e-4)
    shown = run("explain", filled, "blue sky", "--id", "bread").out
    assert "bread" in shown
    assert "cosine" in shown
    assert re.search(r"bread  meaning -?0\.\d{3}  = ", shown)  # as above a list of hits
    assert run("explain", filled, "blue sky", "--rank", "9").code == 2


def test_explain_of_passages(run, tmp_path):
    (tmp_path / "long.txt").write_text("Why is the sky blue, and not green? " * 20)
    assert run("index", "long.txt", "--to", "x.lace", "--passage-tokens", "64").code == 0
    asked = ("x.lace", "sky")
    assert run("explain", *asked, "--rank", "2").code == 2
    _, found, *_ = run("search", *asked, "--by", "passage", "--json").records
    (why,) = run("explain", *asked, "--by", "passage", "--rank", "2", "--json").records
    assert why["passage"] == found["passage"]


def test_explain_ranks_as_search_does(run, filled, monkeypatch):
    words = ("blue", "sky")
    (found,) = run("search", filled, *words, "--mode", "lexical", "--json").records
    (explanation,) = run("explain", filled, *words, "--mode", "lexical", "--json").records
    assert (explanation["id"], explanation["score"]) == (found["id"], found["score"])
    places = {match["query_text"]: match["text"] for match in explanation["matches"]}
    assert places == {"blue": "blue", "sky": "sky"}
    shown = run("explain", filled, *words, "--mode", "lexical").out
    assert "BM25" in shown
    assert "cosine" not in shown
    monkeypatch.setenv("INTERLACE_MODE", "lexical")
    assert run("explain", filled, *words, "--rank", "2").code == 2


def test_no_word_is_found(run, filled):
    ran = run("search", filled, "xyzzy", "--mode", "lexical")
    assert (ran.code, ran.out.strip()) == (0, "Nothing found.")
    assert "Mode hybrid" in ran.err


def test_rerank(run, lines):
    ran = run("rerank", "baking", lines, "--json", "-k", 2)
    assert [hit["rank"] for hit in ran.records] == [1, 2]
    assert ran.records[0]["id"] == "bread"


def test_encode(run, lines, encoder, tmp_path):
    from safetensors.numpy import load_file

    ran = run("encode", lines, "--to", "out.safetensors")
    assert ran.code == 0
    arrays = load_file(tmp_path / "out.safetensors")
    first = encoder.encode_document([RECORDS[0]["text"]])[0]
    assert (arrays["embeddings"][: len(first)] == first).all()
    assert arrays["offsets"][-1] == len(arrays["embeddings"]) == len(arrays["token_ids"])
    assert run("encode", lines, "--to", "out.safetensors").code == 2
    records = run("encode", lines, "--json", "--query").records
    assert [record["id"] for record in records] == ["sky", "bread", 7]
    assert len(records[0]["matrix"][0]) == encoder.dim
    assert run("encode", lines).code == 2


def test_info(run, filled):
    (info,) = run("info", filled, "--json").records
    assert (info["n_documents"], info["model"]["name"]) == (3, "mini")
    shown = run("info", filled).out
    assert "mini" in shown
    assert re.search(r"fresh +\d+ tokens in 1 segment, \d+ bytes a token", shown)
    assert re.search(r"settled +none", shown)
    assert re.search(rf"encoder +{info['encoder']['backend']}, int8, cpu, \d+ threads?", shown)
    assert re.search(rf"kernels +{info['kernels']}", shown)


def test_info_without_the_model_says_why_it_is_not_there(run):
    with interlace.create("x.lace", lambda texts: [np.eye(4)] * len(texts)) as made:
        made.add(["x"])
    told = run("info", "x.lace")
    assert told.code == 0
    assert "the model cannot be loaded: the collection's model" in " ".join(told.err.split())
    assert re.search(r"encoder +none", told.out)


class Watched(dict):
    """Knows which of its keys were asked for."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.asked = set()

    def __getitem__(self, key):
        self.asked.add(key)
        return super().__getitem__(key)


def test_info_shows_all_that_the_collection_tells(run, monkeypatch):
    with interlace.create("own.lace", model=None, dim=8, settle="manual") as own:
        axes = np.eye(8, dtype=np.float32)
        own.add([{"id": i, "text": "x"} for i in range(150)], embeddings=[axes] * 150)
        own._store.settle()
        own.add([{"id": "new", "text": "x"}], embeddings=[axes])
        own.delete([0])
        told = Watched(own.info() | {"n_sources": 2, "n_files": 1_204})
    monkeypatch.setattr(interlace.Collection, "info", lambda self, **_: told)
    shown = run("info", "own.lace").out
    assert told.asked == set(told)
    for row in (
        r"tokens +1,208\n",
        r"follows +1,204 files of 2 sources",
        r"deleted +1 passage, until compaction",
        r"fresh +8 tokens in 1 segment, \d+ bytes a token",
        r"settled +1,200 tokens in 1 segment, \d+ bytes a token",
        rf"codec +residual4, generation {told['generation']}, \d+ bytes in 1 chunk, scores times",
        r"by +none: embeddings of 8 dims come from elsewhere",
    ):
        assert re.search(row, re.sub(r" +\n", "\n", shown)), row


def test_info_before_the_codec_is_trained(run, filled):
    assert re.search(r"codec +residual4, not trained yet", run("info", filled).out)


def test_info_tells_why_settling_failed(run, filled, monkeypatch):
    real = interlace.Collection.info
    failed = {"last_settle_error": "the disk is full"}
    monkeypatch.setattr(interlace.Collection, "info", lambda self, **_: real(self) | failed)
    assert "the last compression failed: the disk is full" in run("info", filled).err


def test_info_advises_a_rebuild_when_the_codec_no_longer_fits(run, filled, monkeypatch):
    real = interlace.Collection.info
    assert real(interlace.open(filled))["advice"] is None
    drifted = {"advice": advice(2.04)}
    monkeypatch.setattr(interlace.Collection, "info", lambda self, **_: real(self) | drifted)
    said = " ".join(run("info", filled).err.split())
    assert "lately added tokens lie 2.0 times as far" in said
    assert "`interlace rebuild` would help." in said


def test_verify_finds_damage(run, filled, tmp_path):
    sound = run("verify", filled)
    assert (sound.code, "1 file, " in sound.out) == (0, True)
    (segment,) = (tmp_path / filled / "segments").iterdir()
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.write_bytes(content)
    ran = run("verify", filled)
    assert ran.code == 1
    assert segment.name in ran.out.replace("\n", "")
    assert run("verify", filled, "--json").records[0]["problems"]


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_verify_names_all_damage_of_a_collection_that_does_not_open(run, filled, tmp_path, share):
    with interlace.open(filled, settle="manual") as collection:
        collection.add(["Another segment."])
    segments = sorted((tmp_path / filled / "segments").iterdir())
    assert len(segments) == 2
    for segment in segments:
        content = segment.read_bytes()
        segment.write_bytes(content[: int(len(content) * share)])
    ran = run("verify", filled)
    assert ran.code == 1
    assert all(segment.name in ran.out.replace("\n", "") for segment in segments)
    assert len(run("verify", filled, "--json").records[0]["problems"]) == 2


def test_verify_of_a_damaged_catalog(run, filled, tmp_path):
    catalog = tmp_path / filled / "catalog.sqlite"
    catalog.write_bytes(b"no database" * 1_000)
    for rest in (tmp_path / filled).glob("catalog.sqlite-*"):
        rest.unlink()
    assert run("verify", filled).code == 1
    assert run("verify", filled, "--json").records[0]["problems"]
    assert run("verify", "nowhere.lace").code == 3


def test_compact(run, filled, monkeypatch):
    with interlace.open(filled) as collection:
        collection.delete(["bread"])
    assert run("compact", filled).out == "The lists of words are merged.\n"
    told = run("compact", filled)
    assert (told.code, told.out) == (0, "Nothing to do.\n")
    with interlace.open(filled) as collection:
        collection.add([str(n) for n in range(4)])
        collection.settle()
        collection.delete(where=None, ids=["sky"])
    told = run("compact", filled)
    assert re.fullmatch(
        r"1 segment merged into 1, 1 deleted passage dropped, \d.* freed\.\n", told.out
    )
    real = interlace.Collection.info
    monkeypatch.setattr(interlace.Collection, "info", lambda self: real(self) | {"n_tombstones": 1})
    told = run("compact", filled)
    assert told.err.startswith("note: 1 deleted passage in vectors that are not compressed yet;")
    assert run("compact", filled, "--json").code == 0
    assert len(run("search", filled, "x", "--json").records) == 5


def test_a_command_that_waits_says_for_whom(run, filled, monkeypatch):
    monkeypatch.setattr("interlace.store.folder._SILENT_SECONDS", 0.01)
    monkeypatch.setenv("INTERLACE_LOCK_WAIT_SECONDS", "0.05")
    with (
        store.open(filled) as opened,
        ThreadPoolExecutor(1) as another,
        another.submit(opened._folder.shape_lock, "rebuilding").result(),
    ):
        ran = run("compact", filled)
    assert ran.code == 3
    note, error = ran.err.splitlines()
    who = rf"process {os.getpid()} on .*, rebuilding since 20.*"
    assert re.match(rf"note: waiting for {who}", note)
    assert re.match(rf"error: the collection is in use: .*: {who}Wait until it is done", error)
    assert run("compact", filled).err == ""


def test_rebuild(run, filled):
    ran = run("rebuild", filled, "--bits", "2", "--passage-tokens", "50", "--json")
    assert ran.code == 0
    assert ran.records[0]["n_documents"] == 3
    with interlace.open(filled) as collection:
        assert collection.info()["codec"] == "residual2"
        assert collection.info()["passage_tokens"] == 50
    assert "none needed yet" in run("rebuild", filled).out
    assert run("rebuild", filled, "--bits", "3").code == 2
    assert len(run("search", filled, "x", "--json").records) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["index", "in.jsonl", "--to", "x.lace", "--bits", "3"], 2, "Allowed are 1, 2 and 4"),
        (["index", "in.jsonl", "--to", "in.jsonl"], 3, "in.jsonl"),
        (["search", "notes.lace", "x", "-k", "0"], 2, "k is 0"),
        (["search", "notes.lace", "x", "--effort", "best"], 2, "effort is 'best'. Choose one"),
        (["explain", "notes.lace"], 2, "QUERY"),
        (["index", "in.jsonl", "--to", "y.lace", "--format", "pdff"], 2, "unknown format 'pdff'"),
    ],
)
def test_a_mistake_is_one_message_and_a_code(run, filled, arguments, code, message):
    ran = run(*arguments)
    assert ran.code == code
    assert re.search(message, ran.err)
    assert "Traceback" not in ran.err


def test_a_bad_line_of_a_file_is_named(run, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"text": "x"}\n{"text": \n')
    ran = run("index", "bad.jsonl", "--to", "x.lace")
    assert ran.code == 0
    assert "bad.jsonl, line 2" in ran.err


def test_debug_shows_the_traceback(run):
    with pytest.raises(InterlaceError, match="not a collection"):
        run("--debug", "search", "nowhere.lace", "x")


def test_version_and_help(run):
    assert run("--version").out.strip() == f"interlace {interlace.__version__}"
    shown = " ".join(run("--help").out.split())
    assert "Exit codes: 0 done" in shown
    for name in (command.name for command in app.registered_commands):
        assert name in shown
        assert run(name, "--help").code == 0


def test_every_error_has_a_documented_code():
    def tree(kind):
        yield kind
        for inner in kind.__subclasses__():
            yield from tree(inner)

    assert {exit_code(kind("x")) for kind in tree(InterlaceError)} <= {2, 3, 4}
    assert app.info.epilog


def test_a_width_that_the_model_was_trained_for(run_here, copy_of_mini, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = copy_of_mini(matryoshka_dims=[64])
    (tmp_path / "a.txt").write_text("Rayleigh scattering makes the sky blue.")
    into = ("index", "a.txt", "--to", "x.lace", "--model", model)
    assert run_here(*into, "--dim", 64).code == 0
    assert run_here(*into, "--dim", 64).code == 0
    assert "dim is 128, but the collection was made with 64" in run_here(*into, "--dim", 128).err
    refused = run_here("rerank", "sky", "a.txt", "--model", model, "--dim", 65)
    assert refused.code == 2
    assert "Choose one of 64, 128" in refused.err
    exported = ("export", "x.lace", "x.jsonl", "--embeddings")
    assert run_here(*exported).code == 0
    assert run_here("import", "x.jsonl", "--to", "y.lace").err == ""
    assert run_here("info", "y.lace", "--json").records[0]["dim"] == 64
    assert run_here("rebuild", "y.lace", "--dim", 128).code == 0
    assert run_here("info", "y.lace", "--json").records[0]["dim"] == 128


def test_pooling(run, tmp_path):
    pytest.importorskip("scipy")
    (tmp_path / "a.txt").write_text("Rayleigh scattering makes the sky blue, and the sun red. " * 3)
    into = ("index", "a.txt", "--to", "x.lace")
    assert run(*into, "--pool-factor", 3).code == 0
    assert run(*into, "--pool-factor", 3).code == 0
    assert (
        "pool_factor is 2, but the collection was made with 3" in run(*into, "--pool-factor", 2).err
    )
    assert run(*into, "--pool-tokens", 9).code == 2
    assert re.search(r"pooled +3 tokens to one, the first 1 kept *\n", run("info", "x.lace").out)
    n_tokens = run("info", "x.lace", "--json").records[0]["n_tokens"]
    assert run("rebuild", "x.lace", "--pool-tokens", 8, "--protected-tokens", 0).code == 0
    assert run("info", "x.lace", "--json").records[0]["n_tokens"] == 8 < n_tokens
    assert "at most 8 a passage" in run("info", "x.lace").out
    assert "sky" in run("explain", "x.lace", "blue sky").out
    assert run("rebuild", "x.lace", "--pool-factor", 1).code == 0
    assert "pooled" not in run("info", "x.lace").out


def test_pooling_is_a_setting_of_new_collections(run, tmp_path):
    pytest.importorskip("scipy")
    (tmp_path / "interlace.toml").write_text("pool_tokens = 8")
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 1, "text": "The sky is blue. " * 9}))
    assert run("index", "a.jsonl", "--to", "x.lace").code == 0
    assert run("import", "a.jsonl", "--to", "y.lace").code == 0
    for name in ("x.lace", "y.lace"):
        assert run("info", name, "--json").records[0]["n_tokens"] == 8


def test_serve_without_its_extra_names_it(run, monkeypatch):
    interlace.create("a.lace").close()
    for module in ("interlace.serve", "interlace.serve.routes"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    ran = run("serve", "a.lace")
    assert ran.code == 4
    assert "pip install 'interlace[serve]'" in ran.err
