"""E-mail: the subject and the text as Markdown, each attachment as a file of its own."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from datetime import datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from typing import IO, Any, Final

from interlace.errors import InputError
from interlace.text.encodings import decode
from interlace.text.formats import Member
from interlace.text.formats.html import to_markdown
from interlace.text.markup import heading, joined, paragraph
from interlace.text.reasons import BLANK, EMPTY, why_not
from interlace.text.records import Fields
from interlace.types import Document, Skipped

#: Longer headers are cut: the library takes time and memory of the square of their length.
_HEADER_LENGTH_MAX: Final = 4_096


class _Policy(policy.EmailPolicy):
    """What the library parses headers with, also those that it reads itself."""

    def header_fetch_parse(self, name: str, value: str) -> Any:
        return super().header_fetch_parse(name, value[:_HEADER_LENGTH_MAX])


_POLICY: Final = _Policy(message_factory=EmailMessage)
_BLOCK_BYTES: Final = 2**20
_QUOTED: Final = re.compile(rb">+From ")
#: Larger mails of a mailbox would fill the memory.
_MAIL_BYTES_MAX: Final = 2**26

_HEADERS: Final = (("title", "subject"), ("author", "from"), ("to", "to"))
#: What a mail has one of at least.
_ANY_OF: Final = ("from", "to", "subject", "date", "received", "message-id", "content-type")


def read(stream: IO[bytes], name: str, fields: Fields) -> Iterator[Document | Skipped | Member]:
    """Yield the text of a mail as Markdown, and its attachments as files.

    Subject, sender, receivers and date are metadata: ``title``, ``author``, ``to``, ``date``.

    Raises
    ------
    InputError
        When the file is no mail or has neither text nor attachments.
    MissingExtra
        Without lxml, for a mail that is HTML alone.
    """
    data = stream.read()
    if not data.strip():
        yield Skipped(name, BLANK if data else EMPTY)
        return
    mail = _parsed(data)
    if not any(key in mail for key in _ANY_OF):
        raise InputError(f"no mail, it has no header: {name}. Rename it to .txt.")
    yield from _read(mail, name)


def read_mbox(
    stream: IO[bytes], name: str, fields: Fields
) -> Iterator[Document | Skipped | Member]:
    """Yield the text of each mail of a mailbox as Markdown, and its attachments as files.

    Raises
    ------
    InputError
        When the file is no mailbox.
    """
    n = 0
    for n, data in enumerate(_mails(stream, name), 1):
        where = f"{name}, mail {n}"
        if data is None:
            yield Skipped(where, f"over {_MAIL_BYTES_MAX >> 20} MiB; save it as .eml")
            continue
        try:
            contents = list(_read(_parsed(data), where))
        except Exception as error:  # noqa: BLE001 (one mail is no reason to miss the others)
            contents = [Skipped(where, why_not(error, where, "e-mail"))]
        yield from contents
    if not n:
        yield Skipped(name, EMPTY)


def _mails(stream: IO[bytes], name: str) -> Iterator[bytes | None]:
    """Yield the bytes of each mail, from a line ``From …`` to the next; None for a huge one."""
    mail: list[bytes] | None = None
    n_bytes = 0
    was_empty = True
    for line in _lines(stream):
        is_empty = not line.strip(b"\r\n")
        if line.startswith(b"From ") and was_empty:
            if mail is not None:
                yield b"".join(mail) if n_bytes <= _MAIL_BYTES_MAX else None
            mail, n_bytes = [], 0
        elif mail is not None:
            n_bytes += len(line)
            if n_bytes <= _MAIL_BYTES_MAX:
                # Mailboxes quote lines of a mail that begin so.
                mail.append(line[1:] if _QUOTED.match(line) else line)
        elif not is_empty:
            raise InputError(f"no mailbox, its first line is not 'From …': {name}.")
        was_empty = is_empty
    if mail is not None:
        yield b"".join(mail) if n_bytes <= _MAIL_BYTES_MAX else None


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield lines with their ends, those that are longer than a block in parts."""
    rest = b""
    while block := stream.read(_BLOCK_BYTES):
        *whole, rest = (rest + block).split(b"\n")
        for line in whole:
            yield line + b"\n"
        if len(rest) > _BLOCK_BYTES:
            yield rest
            rest = b""
    if rest:
        yield rest


def _parsed(data: bytes) -> EmailMessage:
    mail = BytesParser(policy=_POLICY).parsebytes(data)
    assert isinstance(mail, EmailMessage)
    return mail


def _read(mail: EmailMessage, name: str) -> Iterator[Document | Skipped | Member]:
    bodies, attachments = _parts(mail)
    metadata = _metadata(mail)
    texts = [_text(part, name) for part in bodies]
    if any(text.strip() for text in texts) or "title" in metadata:
        text = joined([heading(metadata.get("title", ""), 1), *texts])
        yield Document(text, metadata=metadata, syntax="markdown")
    elif not attachments:
        raise InputError(f"no text in it: {name}.")
    for n, part in enumerate(attachments, 1):
        yield Member(_file_name(part, n), io.BytesIO(_bytes(part)))


def _parts(mail: EmailMessage) -> tuple[list[Message], list[Message]]:
    """Return the parts that are the mail's text, and those that are files."""
    bodies: list[Message] = []
    attachments: list[Message] = []
    waiting: list[Message] = [mail]
    while waiting:
        part = waiting.pop()
        kind = part.get_content_type()
        if kind == "message/rfc822" and part is not mail:
            attachments.append(part)
        elif kind == "multipart/alternative":
            if (best := _best(part)) is not None:
                waiting.append(best)
        elif part.is_multipart():
            waiting += reversed(_children(part))
        elif _is_file(part):
            attachments.append(part)
        elif kind in ("text/plain", "text/html"):
            bodies.append(part)
    return bodies, attachments


def _best(part: Message) -> Message | None:
    """Return of several forms of the same text the plain one, else the last that can be read."""
    children = _children(part)
    for child in children:
        if child.get_content_type() == "text/plain" and _bytes(child).strip():
            return child
    readable = [
        one for one in children if one.get_content_type() == "text/html" or one.is_multipart()
    ]
    return readable[-1] if readable else children[-1] if children else None


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _is_file(part: Message) -> bool:
    disposition = _header(part, "content-disposition").partition(";")[0].strip().lower()
    if disposition == "attachment":
        return True
    is_text = part.get_content_type() in ("text/plain", "text/html")
    return bool(_name_given(part)) and not (is_text and disposition == "inline")


def _name_given(part: Message) -> str:
    try:
        return part.get_filename() or ""
    except Exception:  # noqa: BLE001 (broken headers break the library in many ways)
        return ""


def _file_name(part: Message, n: int) -> str:
    kind = part.get_content_type()
    if kind == "message/rfc822":
        return "message.eml"
    name = _name_given(part).replace("\\", "/").rpartition("/")[2]
    name = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    if name:
        return name
    suffix = {"text/plain": ".txt", "text/html": ".html", "application/pdf": ".pdf"}.get(kind, "")
    return f"attachment-{n}{suffix}"


def _bytes(part: Message) -> bytes:
    if part.get_content_type() == "message/rfc822":
        children = _children(part)
        return children[0].as_bytes(policy=policy.compat32) if children else b""
    try:
        payload = part.get_payload(decode=True)
    except Exception:  # noqa: BLE001 (as above)
        payload = None
    if isinstance(payload, bytes):
        return payload
    raw = part.get_payload()
    return raw.encode("utf-8", "replace") if isinstance(raw, str) else b""


def _text(part: Message, name: str) -> str:
    data = _bytes(part)
    if not data.strip():
        return ""
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeError):
        text = decode(data, name)
    text = text.replace("\r\n", "\n").replace("\0", "")
    if part.get_content_type() == "text/html":
        return to_markdown(text)
    return paragraph(text)


def _metadata(mail: EmailMessage) -> dict[str, str]:
    metadata = {key: text for key, name in _HEADERS if (text := _header(mail, name))}
    if date := _date(_header(mail, "date")):
        metadata["date"] = date
    return metadata


def _date(text: str) -> str:
    try:
        date: datetime = parsedate_to_datetime(text)
        return date.isoformat()
    except (ValueError, TypeError, IndexError, OverflowError):
        return ""


def _header(part: Message, name: str) -> str:
    """Return a header in one line, decoded as far as it can be."""
    raw = next((str(value) for key, value in part.raw_items() if key.lower() == name), "")
    raw = raw[:_HEADER_LENGTH_MAX]
    if any("\ud800" <= character <= "\udfff" for character in raw):
        # Bytes that are no ASCII, which no mail should have there and many have.
        data = raw.encode("utf-8", "surrogateescape")
        try:
            raw = data.decode()
        except UnicodeDecodeError:
            raw = data.decode("cp1252", "replace")
        text = _words(raw)
    else:
        try:
            text = str(part.get(name, ""))
        except Exception:  # noqa: BLE001 (as above)
            text = _words(raw)
    text = text.encode("utf-8", "replace").decode()
    return " ".join(text.replace("\0", "").split())


def _words(raw: str) -> str:
    try:
        return str(make_header(decode_header(raw)))
    except Exception:  # noqa: BLE001 (as above)
        return raw
