"""The default generator by torch's path `torch.random`.

In: seeds and states. Out: the functions of `picograd.frontend.random`.

>>> manual_seed(0).initial_seed()
0
"""

from picograd.frontend.random import fork_rng as fork_rng
from picograd.frontend.random import get_rng_state as get_rng_state
from picograd.frontend.random import initial_seed as initial_seed
from picograd.frontend.random import manual_seed as manual_seed
from picograd.frontend.random import seed as seed
from picograd.frontend.random import set_rng_state as set_rng_state
