"""Moved to `picograd.dtypes`."""

from picograd.dtypes import *  # noqa: F403
