"""The old place of `picograd.amp`.

>>> with autocast():
...     pass
"""

from picograd.amp import GradScaler as GradScaler
from picograd.amp import autocast as autocast
