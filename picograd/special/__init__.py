"""Special functions with the names of `torch.special`.

In: tensors. Out: tensors. This file only lists what the modules beside it and the frontend define.

>>> import picograd
>>> picograd.special.expit(picograd.tensor([0.0])).tolist()
[0.5]
"""

from picograd.frontend import selection as _selection
from picograd.frontend import statistics as _statistics
from picograd.frontend import transcendental as _transcendental
from picograd.frontend.missing import refusing as _refusing
from picograd.frontend.registry import writing_out as _writing_out
from picograd.frontend.statistics import log_softmax, softmax
from picograd.special.bessel import i0, i0e, i1, i1e
from picograd.special.cylinder import (
    bessel_j0,
    bessel_j1,
    bessel_y0,
    bessel_y1,
    modified_bessel_i0,
    modified_bessel_i1,
    modified_bessel_k0,
    modified_bessel_k1,
    scaled_modified_bessel_k0,
    scaled_modified_bessel_k1,
    spherical_bessel_j0,
)
from picograd.special.gamma import digamma, lgamma, multigammaln, polygamma, zeta
from picograd.special.incomplete_gamma import gammainc, gammaincc
from picograd.special.normal import entr, erfcx, log_ndtr, ndtr, ndtri, xlog1py
from picograd.special.polynomials import (
    chebyshev_polynomial_t,
    chebyshev_polynomial_u,
    chebyshev_polynomial_v,
    chebyshev_polynomial_w,
    hermite_polynomial_h,
    hermite_polynomial_he,
    laguerre_polynomial_l,
    legendre_polynomial_p,
    shifted_chebyshev_polynomial_t,
    shifted_chebyshev_polynomial_u,
    shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
)

gammaln, psi = lgamma, digamma
erf, erfc = _writing_out(_transcendental.erf), _writing_out(_transcendental.erfc)
erfinv, expit = _writing_out(_transcendental.erfinv), _writing_out(_transcendental.sigmoid)
exp2, expm1 = _writing_out(_transcendental.exp2), _writing_out(_transcendental.expm1)
log1p, logit = _writing_out(_transcendental.log1p), _writing_out(_transcendental.logit)
sinc, xlogy = _writing_out(_transcendental.sinc), _writing_out(_transcendental.xlogy)
round, logsumexp = _writing_out(_selection.round), _writing_out(_statistics.logsumexp)

__all__ = [
    "bessel_j0",
    "bessel_j1",
    "bessel_y0",
    "bessel_y1",
    "chebyshev_polynomial_t",
    "chebyshev_polynomial_u",
    "chebyshev_polynomial_v",
    "chebyshev_polynomial_w",
    "digamma",
    "entr",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp2",
    "expit",
    "expm1",
    "gammainc",
    "gammaincc",
    "gammaln",
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
    "lgamma",
    "log1p",
    "log_ndtr",
    "log_softmax",
    "logit",
    "logsumexp",
    "modified_bessel_i0",
    "modified_bessel_i1",
    "modified_bessel_k0",
    "modified_bessel_k1",
    "multigammaln",
    "ndtr",
    "ndtri",
    "polygamma",
    "psi",
    "round",
    "scaled_modified_bessel_k0",
    "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t",
    "shifted_chebyshev_polynomial_u",
    "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w",
    "sinc",
    "softmax",
    "spherical_bessel_j0",
    "xlog1py",
    "xlogy",
    "zeta",
]

__getattr__ = _refusing("picograd.special", lambda: __all__)
