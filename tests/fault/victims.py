"""Processes that do steps to a store on a faulty disk, and may not live to the end.

One process is started with the disk; it has everything imported and forks a victim for each job, so
that a job costs milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "fault")]

import disk  # noqa: E402 (found there)


class Victims:
    """Starts victims. A context manager."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=disk.environment(),
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def run(self, work: str, kill_after: float | None = None, **job: Any) -> int:
        """Do a job in a process of its own, killed after so many seconds; its exit status."""
        self._process.stdin.write(
            json.dumps({"work": work, "waits": kill_after is not None, **job}) + "\n"
        )
        self._process.stdin.flush()
        pid = int(self._read())
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return int(self._read())

    def _read(self) -> str:
        line = self._process.stdout.readline()
        assert line, "the process that starts victims is gone"
        return line


def main() -> None:
    """Fork a victim for each line of standard input; its number and its status go out."""
    import jobs

    for line in sys.stdin:
        job = json.loads(line)
        waits = job.pop("waits", False)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                getattr(jobs, job.pop("work"))(**job)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(pid, flush=True)
        if waits:
            sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
