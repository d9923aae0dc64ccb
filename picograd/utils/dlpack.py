"""`torch.utils.dlpack`: memory shared with other libraries.

In and out: see `picograd/frontend/dlpack.py`.

>>> import picograd
>>> from_dlpack(to_dlpack(picograd.ones(2)))
tensor([1., 1.])
"""

import enum

from picograd.frontend.dlpack import from_dlpack, to_dlpack


class DLDeviceType(enum.IntEnum):
    """DLPack's numbers of kinds of memory."""

    kDLCPU = 1
    kDLCUDA = 2
    kDLCUDAHost = 3


__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
