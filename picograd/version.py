"""`torch.version`: which libraries this build has. None of a GPU's.

In: nothing. Out: names.

>>> cuda is None
True
"""

from __future__ import annotations

from picograd import __version__ as __version__

cuda: str | None = None
hip: str | None = None
xpu: str | None = None
git_version = "unknown"
debug = False
