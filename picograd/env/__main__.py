"""Prints the table of environment variables: `python -m picograd.env`.

In: the table of `picograd.env`. Out: text on stdout.
"""

from __future__ import annotations

from picograd import env

if __name__ == "__main__":
    print("\n".join(env.table()))
