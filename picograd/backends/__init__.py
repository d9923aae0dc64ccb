"""Switches of torch's backends, accepted and without an effect: there is one backend, our own.

In: assignments such as `backends.cudnn.benchmark = True`. Out: modules that remember them and say
that torch's library isn't there.

>>> cudnn.benchmark = True
>>> mps.is_available()
False
"""

from picograd.backends import cuda as cuda
from picograd.backends import cudnn as cudnn
from picograd.backends import mkldnn as mkldnn
from picograd.backends import mps as mps
