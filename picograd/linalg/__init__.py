"""Dense linear algebra with the names of `torch.linalg`.

In: tensors. Out: tensors and named results. Factorisations run on the host through NumPy's LAPACK;
their gradients are tensor operations. This file only lists what the modules beside it define.

>>> import picograd
>>> picograd.linalg.det(picograd.tensor([[2.0, 0.0], [0.0, 3.0]])).item()
6.0
"""

from picograd.frontend import contractions as _contractions
from picograd.frontend.missing import refusing as _refusing
from picograd.frontend.registry import writing_out as _writing_out
from picograd.linalg.decompositions import (
    eig,
    eigh,
    eigvals,
    eigvalsh,
    qr,
    svd,
    svdvals,
)
from picograd.linalg.definite import (
    cholesky,
    cholesky_ex,
    cholesky_inverse,
    cholesky_solve,
)
from picograd.linalg.elimination import lu, lu_factor, lu_factor_ex, lu_solve, lu_unpack
from picograd.linalg.functions import (
    cross,
    diagonal,
    matrix_exp,
    matrix_power,
    multi_dot,
    tensorinv,
    tensorsolve,
    vander,
    vecdot,
)
from picograd.linalg.host import LinAlgError
from picograd.linalg.least_squares import lstsq, pinv
from picograd.linalg.norms import cond, matrix_norm, matrix_rank, norm, vector_norm
from picograd.linalg.reflections import householder_product
from picograd.linalg.solving import det, inv, inv_ex, logdet, slogdet, solve, solve_ex
from picograd.linalg.symmetric import ldl_factor, ldl_factor_ex, ldl_solve
from picograd.linalg.triangular import solve_triangular

matmul = _writing_out(_contractions.matmul)

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cholesky_inverse",
    "cholesky_solve",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "ldl_factor",
    "ldl_factor_ex",
    "ldl_solve",
    "logdet",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "lu_unpack",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]

__getattr__ = _refusing("picograd.linalg", lambda: __all__)
