"""One file an engine. Each runs in a process and an environment of its own: see worker.py."""
