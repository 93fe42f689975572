"""One file a format; each has ``read(stream, name)``, named in ``readers.FORMATS``."""
