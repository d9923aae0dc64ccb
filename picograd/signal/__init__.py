"""Signal processing with the names of `torch.signal`: its windows.

In: lengths and shapes of windows. Out: tensors, from `picograd/signal/windows.py`.

>>> import picograd
>>> picograd.signal.windows.hann(3).tolist()
[0.0, 1.0, 0.0]
"""

from picograd.signal import windows

__all__ = ["windows"]
