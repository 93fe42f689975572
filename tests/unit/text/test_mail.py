"""Mail: subject and text, attachments as files, broken headers, mailboxes of many."""

from __future__ import annotations

import io
import time
from email.message import EmailMessage

import pytest

from interlace.errors import InputError
from interlace.text.formats import Member, mail
from interlace.text.records import Fields
from interlace.types import Document, Skipped


def parts(data: bytes) -> list[Document | Skipped | Member]:
    return list(mail.read(io.BytesIO(data), "a.eml", Fields()))


def text(data: bytes) -> str:
    (document,) = parts(data)
    assert isinstance(document, Document)
    return document.text


def made() -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message["From"] = "Ada <ada@x.org>"
    message["To"] = "Bob <bob@x.org>"
    message["Date"] = "Fri, 16 Dec 2022 17:04:16 -0500"
    message.set_content("The text.\n")
    return message


def test_subject_text_and_metadata():
    (document,) = parts(made().as_bytes())
    assert document == Document(
        "# Grüße\n\nThe text.",
        metadata={
            "title": "Grüße",
            "author": "Ada <ada@x.org>",
            "to": "Bob <bob@x.org>",
            "date": "2022-12-16T17:04:16-05:00",
        },
        syntax="markdown",
    )


def test_plain_text_is_preferred_to_html():
    message = made()
    message.add_alternative("<p>The <b>page</b>.", subtype="html")
    assert text(message.as_bytes()) == "# Grüße\n\nThe text."


def test_html_alone_becomes_markdown():
    pytest.importorskip("lxml")
    data = b"Subject: S\nContent-Type: text/html; charset=latin-1\n\n<h2>gr\xfcn</h2><p>a"
    assert text(data) == "# S\n\n## grün\n\na"


def test_attachments_are_files():
    message = made()
    message.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename="../x/Tab ü.csv")
    message.add_attachment("notes", filename="notes.txt")
    message.add_attachment(made())
    _, *members = parts(message.as_bytes())
    assert [one.name for one in members] == ["Tab ü.csv", "notes.txt", "message.eml"]
    assert members[0].stream.read() == b"a,b\n"
    assert text(members[2].stream.read()) == "# Grüße\n\nThe text."


@pytest.mark.parametrize(
    ("header", "title"),
    [
        (b"Subject: gr\xfcn", "grün"),
        (b"Subject: gr\xc3\xbcn", "grün"),
        (b"Subject: =?utf-8?q?gr=C3=BCn?=", "grün"),
        (b"Subject: =?nonsense?q?x?= y", "x y"),
        (b"Subject: a\n b", "a b"),
        (b"Subject: a\nDate: yesterday", "a"),
        (b"Subject: a\nFrom: <<<@@ \xff>,;", "a"),
        (b"Subject: a\nContent-Type: text/plain; charset=nonsense", "a"),
        (b"Subject: a\nContent-Disposition: ;;;=", "a"),
    ],
)
def test_broken_headers_survive(header, title):
    (document,) = parts(header + b"\n\ntext")
    assert document.metadata["title"] == title
    assert "date" not in document.metadata
    assert document.text.endswith("text")


def test_what_is_no_mail():
    assert parts(b"") == [Skipped("a.eml", "empty")]
    with pytest.raises(InputError, match="no mail"):
        parts(b"just words\n\nmore words")
    with pytest.raises(InputError, match="no text in it"):
        parts(b"From: a@b\n\n \n")


def test_mailbox():
    data = (
        b"From a@b Fri Dec 16 2022\nSubject: one\n\n>From here\nFrom there\n\n"
        b"From a@b Fri Dec 16 2022\nFrom: x@y\n\n\n"
        b"From a@b Fri Dec 16 2022\r\nSubject: two\r\n\r\nlast"
    )
    one, none, two = mail.read_mbox(io.BytesIO(data), "a.mbox", Fields())
    assert one.text == "# one\n\nFrom here\nFrom there"
    assert none == Skipped("a.mbox, mail 2", "no text in it")
    assert two.text == "# two\n\nlast"
    assert list(mail.read_mbox(io.BytesIO(b""), "a.mbox", Fields())) == [Skipped("a.mbox", "empty")]
    with pytest.raises(InputError, match="no mailbox"):
        list(mail.read_mbox(io.BytesIO(b"words"), "a.mbox", Fields()))


def test_real_mails(shared_data):
    folder = shared_data("messy") / "mail"
    assert "- Roses are red" in text((folder / "plain.eml").read_bytes())
    document, member = parts((folder / "attachment.eml").read_bytes())
    assert document.text.startswith("# Email with MP3 Attachment\n")
    assert member.name == "sample-3s.mp3"


@pytest.mark.parametrize("name", ["To", "Subject", "Content-Type", "Content-Disposition"])
def test_a_header_without_end_is_cut(name):
    value = b"a@b.org, " * 50_000
    start = time.perf_counter()
    (document,) = parts(b"From: x@y.org\n" + name.encode() + b": " + value + b"\n\nbody")
    assert time.perf_counter() - start < 5  # 40 s as a whole
    assert document.text.endswith("body")
    assert all(len(one) <= 4_096 for one in document.metadata.values())
