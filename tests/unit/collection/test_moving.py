"""A collection is its folder: copied, archived, on any path, where nobody may write."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest

import interlace
from interlace.errors import CollectionError, InputError

RECORDS = [
    {"id": 7, "text": "The sea is salty.", "metadata": {"year": 2021}},
    {"id": "sky", "text": "Rayleigh scattering makes the sky blue."},
]

posix = pytest.mark.skipif(sys.platform == "win32", reason="permissions work otherwise here")


@pytest.fixture
def filled(new_collection):
    """Closed, with a settled segment, a fresh one and a tombstone."""
    made = new_collection()
    made.add([*RECORDS, {"id": "gone", "text": "soon"}])
    made.settle()
    made.add([{"id": "snow", "text": "Snow is white."}])
    made.delete(["gone"])
    made.close()
    return made.path


@pytest.fixture
def is_the_same(filled, encoder):
    """Checks that what is at a path is the collection, by all that can be asked of it."""
    with interlace.open(filled, encoder) as made:
        ids = list(made.ids())
        documents = made.get(ids)
        hits = [(h.id, h.score) for h in made.search("salt in the sea")]

    def check(path: Path) -> None:
        with interlace.open(path, encoder) as moved:
            assert list(moved.ids()) == ids
            assert moved.get(ids) == documents
            assert [(h.id, h.score) for h in moved.search("salt in the sea")] == hits
            assert moved.verify().ok
            assert moved.info()["n_documents"] == 3

    return check


def by_tar(source: Path, target: Path) -> None:
    with tarfile.open(target.with_suffix(".tar"), "w") as archive:
        archive.add(source, "inside")
    with tarfile.open(target.with_suffix(".tar")) as archive:
        archive.extractall(target.parent / "unpacked", filter="data")
    (target.parent / "unpacked" / "inside").rename(target)


WAYS = {
    "copytree": lambda source, target: shutil.copytree(source, target),
    "cp": lambda source, target: subprocess.run(["cp", "-r", source, target], check=True),
    "tar": by_tar,
    "rename": lambda source, target: source.rename(target),
}


@posix
@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("name", ["plain", "two words", "ü ☃ 'q\" #?%20&", "-dash", "a\nb"])
def test_copied(filled, is_the_same, tmp_path, encoder, way, name):
    WAYS[way](filled, tmp_path / name)
    if way != "rename":
        shutil.rmtree(filled)
    is_the_same(tmp_path / name)
    with interlace.open(tmp_path / name, encoder) as moved:
        assert moved.add(["one more"]).added == 1
        assert moved.verify().ok


@posix
def test_through_a_link(filled, is_the_same, tmp_path):
    (tmp_path / "link").symlink_to(filled)
    is_the_same(tmp_path / "link")
    report = interlace.open(tmp_path / "link").backup(tmp_path / "copy")
    is_the_same(Path(report.path))
    with pytest.raises(InputError, match="inside the collection"):
        interlace.open(filled).backup(tmp_path / "link" / "copy")


def test_a_backup_while_it_is_open_and_moved_on(filled, is_the_same, tmp_path, encoder):
    with interlace.open(filled, encoder) as made:
        made.backup(tmp_path / "copy")
    shutil.move(tmp_path / "copy", tmp_path / "other machine")
    is_the_same(tmp_path / "other machine")
    with interlace.restore(tmp_path / "other machine", tmp_path / "restored", encoder) as restored:
        assert [hit.id for hit in restored.search("salty sea", k=1)] == [7]
    is_the_same(tmp_path / "restored")


# --- where nobody may write ----------------------------------------------------------------------
def lock_up(folder: Path) -> None:
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


AS_NOBODY = """
import os, sys, warnings
from pathlib import Path
warnings.simplefilter('error')
import interlace
from typer.testing import CliRunner
from interlace.cli.app import app

folder, out = sys.argv[1], Path(sys.argv[2])

def run(*arguments, code=0):
    ran = CliRunner().invoke(app, [str(one) for one in arguments])
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    assert ran.exit_code == code, (arguments, ran.stdout, ran.stderr)
    return ran.stdout + ran.stderr

with interlace.create(out / 'warm') as warm:  # loads all code that it needs
    warm.add(['x'])
for command in ('info', 'verify', 'sources'):
    run(command, out / 'warm')
run('search', out / 'warm', 'x')
run('explain', out / 'warm', 'x', code=0)
run('backup', out / 'warm', out / 'warm copy')
for name in ('warm.jsonl', 'warm.parquet'):
    run('export', out / 'warm', out / name, '--embeddings')
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)

assert 'salty' in run('search', folder, 'salt in the sea')
assert '3' in run('info', folder)
assert 'sound' in run('verify', folder)
assert 'salty' in run('explain', folder, 'salty sea')
assert 'of commit' in run('backup', folder, out / 'copy')
assert '3 documents' in run('export', folder, out / 'all.jsonl')
assert '3 documents' in run('export', folder, out / 'all.parquet', '--embeddings')
assert '3 documents' in run('restore', folder, out / 'restored')
assert 'cannot write' in run('compact', folder, code=3)
with interlace.open(folder) as notes:
    assert notes.get([7])[0].metadata == {'year': 2021}
    assert not notes.refresh()
with interlace.open(out / 'copy') as copy:
    copy.add(['more'])
    assert copy.verify().ok
print('done')
"""


def as_nobody(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Run the commands as another user where this one is root, whom permissions do not bind."""
    return subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(folder), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def outside():
    """A folder that other users reach."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        (root / "out").mkdir()
        (root / "out").chmod(0o777)
        yield root
        for path in root.rglob("*"):
            path.chmod(0o777)


@posix
def test_every_command_that_reads_works_where_nobody_may_write(filled, outside):
    folder = shutil.copytree(filled, outside / "notes.lace")
    lock_up(folder)
    before = sorted(folder.rglob("*"))
    ran = as_nobody(folder, outside / "out")
    assert (ran.stdout, ran.stderr) == ("done\n", "")
    assert sorted(folder.rglob("*")) == before


@posix
def test_on_a_disk_that_is_mounted_read_only(filled, outside):
    folder = shutil.copytree(filled, outside / "notes.lace")
    (outside / "disk").mkdir()
    mounted = subprocess.run(
        ["mount", "--bind", "-o", "ro", str(outside), str(outside / "disk")], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        ran = as_nobody(outside / "disk" / folder.name, outside / "out")
    finally:
        subprocess.run(["umount", str(outside / "disk")], check=True)
    assert (ran.stdout, ran.stderr) == ("done\n", "")


OPENED = """
import os, sys, interlace
with interlace.create(sys.argv[2], None, dim=2):  # loads all code that it needs
    pass
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    with interlace.open(sys.argv[1]) as notes:
        print(len(notes))
except interlace.InterlaceError as error:
    print(type(error).__name__, error)
"""

KILLED = """
import os, signal, sys, interlace
notes = interlace.open(sys.argv[1])
notes.add(['left in the log'])
os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
@pytest.mark.parametrize("has_index", [True, False])
def test_a_log_that_a_killed_writer_left_where_nobody_may_write(filled, outside, has_index):
    """With the log's index beside it all is read; without, the error says what to do."""
    folder = shutil.copytree(filled, outside / "notes.lace")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (folder / "catalog.sqlite-wal").stat().st_size
    if not has_index:
        (folder / "catalog.sqlite-shm").unlink()
    lock_up(folder)
    ran = subprocess.run(
        [sys.executable, "-c", OPENED, str(folder), str(outside / "warm")],
        capture_output=True,
        text=True,
        check=True,
    )
    if has_index:
        assert ran.stdout == "4\n"
    else:
        assert ran.stdout.startswith("CollectionError the catalog cannot be opened")
        assert "close the writer first" in ran.stdout
        assert str(folder) in ran.stdout


# --- what it follows -----------------------------------------------------------------------------
def test_sources_that_are_on_another_machine(new_collection, encoder, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "sea.md").write_text("The sea is salty.")
    made = new_collection()
    made.index(tmp_path / "docs")
    made.backup(tmp_path / "copy")
    made.close()
    (tmp_path / "docs").rename(tmp_path / "another machine")
    with interlace.restore(tmp_path / "copy", tmp_path / "there", encoder) as there:
        assert [source.path for source in there.sources()] == [tmp_path / "docs"]
        report = there.update()
        assert report.n_skipped == 1
        assert "documents are kept" in report.skipped[0].why
        assert str(tmp_path / "docs") in report.skipped[0].where
        assert there.search("salt")[0].file == str(tmp_path / "docs" / "sea.md")
        assert there.locate(there.search("salt")[0]) is None
        (tmp_path / "another machine").rename(tmp_path / "docs")
        assert there.update().n_files_unchanged == 1
        assert there.forget(tmp_path / "docs") == 1


def test_a_collection_that_is_not_there(tmp_path):
    with pytest.raises(CollectionError, match="not a collection"):
        interlace.restore(tmp_path / "nowhere", tmp_path / "new")
    assert list(tmp_path.iterdir()) == []
