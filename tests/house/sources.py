"""A small file of each kind that the how-to pages index, by the names that they use."""

from __future__ import annotations

import csv
import gzip
import io
import json
import mailbox
import shutil
import tarfile
import zipfile
from email.message import EmailMessage
from pathlib import Path

SKY = "Rayleigh scattering makes the sky blue."
SEA = "Rivers carry minerals into the sea and leave it salty; they carry many tonnes of salt."
ICE = "Ice is less dense than water, so it floats."


def write_all(home: Path) -> None:
    """Write what the commands of all pages name."""
    for write in (notes, papers, site, mail, code, tables, archives, ragatouille, indexes):
        write(home)


def notes(home: Path) -> None:
    docs = home / "docs"
    (docs / "drafts").mkdir(parents=True)
    (docs / "sky.md").write_text(f"# Light\n\n## The sky\n\n{SKY}\n")
    (docs / "sea.txt").write_text(f"{SEA}\n")
    (docs / "drafts" / "ice.rst").write_text(f"Ice\n===\n\n{ICE}\n")
    (docs / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (home / "letter.txt").write_text(f"Dear Ann,\n\n{ICE}\n")


def papers(home: Path) -> None:
    import docx
    import openpyxl
    import pptx

    folder = home / "papers"
    folder.mkdir()
    (folder / "salt.pdf").write_bytes(pdf(SEA))
    report = docx.Document()
    report.add_heading("Light")
    report.add_paragraph(SKY)
    report.save(str(folder / "light.docx"))
    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text = "Ice"
    slide.placeholders[1].text = ICE
    slides.save(str(folder / "ice.pptx"))
    book = openpyxl.Workbook()
    book.active.append(["river", "tonnes of salt"])
    book.active.append(["Rhine", 9_000_000])
    book.save(folder / "rivers.xlsx")
    (folder / "letter.rtf").write_text(rf"{{\rtf1\ansi {ICE}}}")


def pdf(text: str) -> bytes:
    """The smallest PDF with a line of text on a page."""
    page = f"BT /F 12 Tf 50 700 Td ({text}) Tj ET".encode("latin-1")
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        b"/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(page), page),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out = io.BytesIO(b"%PDF-1.4\n")
    out.seek(0, io.SEEK_END)
    places = []
    for number, one in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj%s endobj\n" % (number, one))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.writelines(b"%010d 00000 n \n" % place for place in places)
    out.write(b"trailer<</Root 1 0 R/Size %d>>\nstartxref\n%d\n" % (len(objects) + 1, start))
    out.write(b"%%EOF\n")
    return out.getvalue()


def site(home: Path) -> None:
    (home / "site").mkdir()
    (home / "site" / "sea.html").write_text(
        "<html><head><title>The sea</title></head><body><nav><a href='/'>Home</a></nav>"
        f"<main><h1>Salt</h1><p>{SEA} {SEA}</p><p>{ICE} {SKY}</p></main></body></html>"
    )


def mail(home: Path) -> None:
    box = mailbox.mbox(home / "mail.mbox")
    for subject, body in (("Ferry", "The ferry leaves at nine."), ("Salt", SEA)):
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "ann@x.org", "bob@x.org", subject
        message.set_content(body)
        box.add(message)
    box.close()


def code(home: Path) -> None:
    (home / "code").mkdir()
    (home / "code" / "retry.py").write_text(
        'def delay(attempt):\n    """Compute the delay before a retry."""\n    return 2**attempt\n'
    )


def tables(home: Path) -> None:
    facts = [{"id": "sky", "text": SKY}, {"id": "sea", "text": SEA}, {"id": "ice", "text": ICE}]
    lines(home / "facts.jsonl", facts)
    lines(
        home / "corpus.jsonl",
        [
            {"_id": one["id"], "title": one["id"], "body": one["text"], "text": "", "year": 2021}
            for one in facts
        ],
    )
    lines(
        home / "beir.jsonl",
        [{"_id": one["id"], "title": one["id"], "text": one["text"]} for one in facts],
    )
    with (home / "facts.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text"])
        writer.writeheader()
        writer.writerows(facts)


def lines(path: Path, records: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records))


def archives(home: Path) -> None:
    with zipfile.ZipFile(home / "backup.zip", "w") as packed:
        packed.writestr("notes/ice.txt", ICE)
        packed.writestr("facts.jsonl.gz", gzip.compress(json.dumps({"text": SKY}).encode()))
    with tarfile.open(home / "notes.tar.gz", "w:gz") as packed:
        packed.add(home / "docs" / "sea.txt", "sea.txt")


def indexes(home: Path) -> None:
    golden = Path(__file__).parents[1] / "golden" / "indexes"
    shutil.copytree(golden / "stanford-4", home / "old-index")
    shutil.copytree(golden / "fast-plaid-4", home / "plaid-index")
    shutil.copytree(golden / "pylate-4", home / "pylate" / "notes")
    shutil.copy(golden / "collection.tsv", home)


def ragatouille(home: Path) -> None:
    index = home / ".ragatouille" / "colbert" / "indexes" / "notes"
    index.mkdir(parents=True)
    (index / "collection.json").write_text(json.dumps([SKY, ICE, SEA]))
    (index / "pid_docid_map.json").write_text(json.dumps({"0": "a", "1": "b", "2": "a"}))
    (index / "docid_metadata_map.json").write_text(json.dumps({"a": {"year": 2021}}))
