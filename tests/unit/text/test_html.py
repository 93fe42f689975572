"""HTML as Markdown, without menus; hostile pages end soon and keep their text."""

from __future__ import annotations

import io

import pytest

from interlace.errors import InputError
from interlace.text.records import Fields
from interlace.types import Document, Skipped

pytest.importorskip("lxml")
pytest.importorskip("trafilatura")
html = pytest.importorskip("interlace.text.formats.html")

STORY = "Ada wrote the first program, for a machine that was never built in her time. " * 5


def page(data: bytes | str) -> Document:
    data = data.encode() if isinstance(data, str) else data
    (document,) = html.read(io.BytesIO(data), "a.html", Fields())
    assert isinstance(document, Document)
    return document


def text(data: bytes | str) -> str:
    return page(data).text


def test_headings_paragraphs_and_links():
    assert text(
        "<title>T</title><h1>One <i>two</i></h1><p>See <a href='http://x'>this\npage</a>.<br>End."
        "<h3>Three</h3>tail"
    ) == ("# One two\n\nSee this page.\nEnd.\n\n### Three\n\ntail")


@pytest.mark.parametrize(
    ("page", "markdown"),
    [
        ("<ul><li>a<li>b<ul><li>c</ul></ul>", "- a\n- b\n    - c"),
        ("<ol start=3><li>a<li>b</ol>", "3. a\n4. b"),
        ("<ul><li><p>a</p><p>b</p></li></ul>", "- a\n\n   b"),
        ("<pre>a\n\n\n  b\n</pre>", "```\na\n\n\n  b\n```"),
        ("<pre>```</pre>", "````\n```\n````"),
        ("<blockquote><p>a<p>b</blockquote>", "> a\n\n> b"),
        (
            "<table><tr><th>a<th>b<tr><td>1<td>2|3</table>",
            "| a | b |\n| --- | --- |\n| 1 | 2\\|3 |",
        ),
        ("<table><tr><td><h2>a</h2><td>b</table>", "## a\n\nb"),
        ("<dl><dt>a<dd>b</dl>", "a\n\nb"),
        ("<p>x<script>y</script><style>z</style><!-- c --> w", "x w"),
        ("<p># no heading", "\\# no heading"),
        ("<p>a&nbsp;&amp;&#8364;<img alt=pic src=x>", "a &€"),
        ("just words", "just words"),
    ],
)
def test_what_becomes_of_it(page, markdown):
    assert text(page) == markdown
    assert html.to_markdown(page) == markdown


def test_menus_go_but_only_from_files():
    menu = "<nav><ul><li><a href=/>Home</a></ul></nav>"
    source = f"<body>{menu}<div class=sidebar>More</div><h1>Ada</h1><p>{STORY}</p></body>"
    assert "Home" not in text(source)
    assert "More" not in text(source)
    assert STORY.strip() in text(source)
    assert html.to_markdown(source).startswith("- Home")
    assert html.to_markdown(source, main=True) == text(source)
    assert text(menu) == "- Home"  # better than nothing


def test_nothing_is_said_about_odd_pages(caplog, capfd):
    text("<nav>m</nav><p>x")
    text("<nav>m</nav>" + "<table><td>" * 50 + "x")
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_metadata_is_what_the_page_declares():
    assert page(
        "<html lang=de><title>Der  Bau</title><meta name=author content=Kafka>"
        "<meta name=date content=1931-05-01><p>x"
    ).metadata == {"title": "Der Bau", "author": "Kafka", "date": "1931-05-01", "language": "de"}
    assert page("<p>On 3 May 2020").metadata == {}


@pytest.mark.parametrize(
    "data",
    [
        b"<p>gr\xc3\xbcn \xe2\x82\xac",
        b"\xef\xbb\xbf<p>gr\xc3\xbcn \xe2\x82\xac",
        b"<meta charset=iso-8859-1><p>gr\xfcn \x80",
        b"<meta http-equiv=content-type content='text/html; charset=windows-1252'><p>gr\xfcn \x80",
        b"<meta charset=utf-16><p>gr\xc3\xbcn \xe2\x82\xac",
        b"<meta charset=nonsense><p>gr\xc3\xbcn \xe2\x82\xac",
        "<p>grün €".encode("utf-16"),
        "<?xml version='1.0' encoding='iso-8859-15'?><p>grün €".encode("iso-8859-15"),
    ],
)
def test_encodings(data):
    assert text(data) == "grün €"


def test_xhtml_may_close_elements_at_once():
    start = "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><head><title/>"
    assert text(f"{start}<script src='x'/></head><body><p>a</p></body></html>") == "a"
    assert text(f"{start}</head><body><p>a&nbsp;b</p></body></html>") == "a b"


@pytest.mark.parametrize("tag", ["div", "b", "ul><li", "table><tr><td", "blockquote", "pre"])
def test_nested_a_hundred_thousand_deep(tag):
    assert text(f"<{tag}>x" * 100_000).count("x") == 100_000


def test_large_pages_end_soon():
    assert text("<nav>m</nav>" + "<p>some <b>words</b>\n" * 100_000).count("words") == 100_000


def test_nothing_in_it():
    assert list(html.read(io.BytesIO(b""), "a.html", Fields())) == [Skipped("a.html", "empty")]
    assert list(html.read(io.BytesIO(b" \n"), "a.html", Fields())) == [
        Skipped("a.html", "only blanks")
    ]
    for data in ("<p></p>", "<!-- x -->", "<script>x</script>"):
        with pytest.raises(InputError, match="no text in it"):
            page(data)


def test_real_pages(shared_data):
    messy = shared_data("messy")
    duck = text((messy / "web" / "duck-wikipedia.html").read_bytes())
    assert duck.startswith("# Duck\n")
    assert "Ducks are mostly aquatic birds" in duck
    assert "Create account" not in duck
    assert "Retrieved" in duck or "References" in duck
    how = text((messy / "manuals" / "zlib_how.html").read_bytes())
    assert "We often get questions about how the deflate()" in " ".join(how.split())
    assert "#define CHUNK 16384" in how
    kafka = text((messy / "books" / "22367-h.HTM").read_bytes())
    assert "Als Gregor Samsa eines Morgens" in kafka
    assert "subscribe to our email newsletter" in " ".join(kafka.split())
    assert "Inline Markup" in text((messy / "manuals" / "quickref.html").read_bytes())
