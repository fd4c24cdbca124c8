"""What the image libraries say of a file is in its reject; nothing of it reaches the terminal."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import warnings

from PIL import _imaging


def silence() -> None:
    """Turn off Pillow's warnings and log, and libtiff's messages on the standard error; for the whole process."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with contextlib.suppress(AttributeError, OSError):  # where libtiff is linked statically it stays as it is
        libtiff = ctypes.CDLL(_imaging.__file__)  # a library's names are found through those that need it
        for name in ("TIFFSetErrorHandler", "TIFFSetErrorHandlerExt"):
            handler = libtiff[name]
            handler.restype, handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
            handler(None)
