"""`torch._inductor`: the switches of torch's own compiler, accepted and without an effect.

In: assignments to `config`. Out: a module that remembers them.

>>> config.coordinate_descent_tuning = True
"""

from picograd._inductor import config as config
