"""Special functions with the names of `torch.special`.

In: tensors. Out: tensors. This file only lists what the modules beside it and the frontend define.

>>> import picograd
>>> picograd.special.expit(picograd.tensor([0.0])).tolist()
[0.5]
"""

from picograd.frontend.selection import round
from picograd.frontend.statistics import log_softmax, logsumexp, softmax
from picograd.frontend.transcendental import (
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    log1p,
    logit,
    sinc,
    xlogy,
)
from picograd.frontend.transcendental import sigmoid as expit
from picograd.special.bessel import i0, i0e, i1, i1e
from picograd.special.gamma import digamma, lgamma, multigammaln, polygamma, zeta
from picograd.special.normal import entr, erfcx, log_ndtr, ndtr, ndtri, xlog1py

gammaln, psi = lgamma, digamma

__all__ = [
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammaln",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "lgamma",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "sinc",
    "softmax",
    "xlog1py",
    "xlogy",
    "zeta",
]
