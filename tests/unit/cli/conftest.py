"""Runs commands in this process, with the encoder that the session has loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

import interlace
from interlace.cli.app import app


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run_here(monkeypatch):
    """Calls ``interlace`` with arguments, in the current folder."""
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("INTERLACE_MODEL", "INTERLACE_K", "INTERLACE_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: object, stdin: str | bytes | None = None) -> Ran:
        ran = CliRunner().invoke(app, [str(a) for a in arguments], input=stdin)
        if ran.exception is not None and not isinstance(ran.exception, SystemExit):
            raise ran.exception
        return Ran(ran.exit_code, ran.stdout, ran.stderr)

    return call


@pytest.fixture
def run(run_here, encoder, monkeypatch, tmp_path):
    """Calls ``interlace`` with arguments, in an empty folder; every model is the built-in one."""
    monkeypatch.setattr(interlace.Encoder, "load", lambda *_, **__: encoder)
    monkeypatch.chdir(tmp_path)
    return run_here
