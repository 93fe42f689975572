"""``python -m interlace.cli`` is ``interlace``."""

from __future__ import annotations

from interlace.cli import main

if __name__ == "__main__":
    main()
