"""Other people's tools, each in one thin file that is loaded when it is used."""

from __future__ import annotations

from interlace.integrations.indexes import Index, convert, open_index

__all__ = ["Index", "convert", "open_index"]
