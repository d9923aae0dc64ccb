"""picograd's own exception types.

In: nothing. Out: three classes for every layer. Mistakes that a torch program could catch raise
torch's type (`RuntimeError`, `IndexError`, `TypeError`, ...) and none of these.

>>> issubclass(UserError, PicogradError) and issubclass(InternalError, PicogradError)
True
"""

from __future__ import annotations


class PicogradError(Exception):
    """The root of picograd's own errors."""


class UserError(PicogradError):
    """The caller asked for something that cannot be done; the message says what to do instead."""


class OutOfMemoryError(RuntimeError):
    """A GPU has too little memory."""

    __module__ = "torch"


class InternalError(PicogradError):
    """picograd broke one of its own rules. Please report it with the message."""
