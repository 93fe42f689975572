"""One count of cores, and everybody asks it."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from interlace import store
from interlace.models import Encoder
from interlace.threads import n_cores, resident


def test_only_the_cores_that_the_process_may_use_count(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert n_cores() == 3


@pytest.mark.parametrize(("machine", "expected"), [(8, 8), (None, 1)])
def test_where_no_affinity_is_known_the_machine_counts(monkeypatch, machine, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: machine)
    assert n_cores() == expected


def test_who_meets_a_library_is_always_the_same_thread():
    def fail():
        raise KeyError("told where it is waited for")

    with ThreadPoolExecutor(4) as pool:
        idents = {*pool.map(lambda _: resident("it")(threading.get_ident), range(20))}
    assert len(idents - {threading.get_ident()}) == 1
    with pytest.raises(KeyError, match="told"):
        resident("it")(fail)
    assert resident("it")(threading.get_ident) in idents


def test_encoder_and_store_ask_for_the_cores(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 5, 6}, raising=False)
    assert Encoder.load().n_threads == 3
    with store.create(tmp_path / "x.lace", store.Settings(dim=8)) as made:
        assert made.snapshot().n_threads == 3
