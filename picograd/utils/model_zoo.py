"""`torch.utils.model_zoo`: the older path to `hub.load_state_dict_from_url`.

In: an address. Out: the state dict there.

>>> load_url.__name__
'load_url'
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["load_url"]


def load_url(url: str, *args: Any, **kwargs: Any) -> Any:
    """What `load` reads from the file of that address, which is fetched once."""
    hub = importlib.import_module("picograd.hub")  # a layer above the helpers
    return hub.load_state_dict_from_url(url, *args, **kwargs)
