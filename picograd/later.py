"""Names that are loaded on first use, so that an import of picograd stays quick.

In: the package and the class `Tensor`. Out: for each row of `FUNCTIONS`, the attribute of the
package (through its `__getattr__`, which calls `find`), and for each of `METHODS` a method that
loads the function when it is first called. The rows name the module and what it is called there.

>>> find("det").__module__
'picograd.linalg.solving'
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

_LINALG = "picograd.linalg"
_OLDER = "picograd.linalg.aliases"
_SPECIAL = "picograd.special"


def _rows(module: str, names: str) -> dict[str, tuple[str, str]]:
    """`name` or `name=its name there`, separated by spaces."""
    rows = {}
    for entry in names.split():
        name, _, there = entry.partition("=")
        rows[name] = (module, there or name)
    return rows


# What is both `picograd.X` and `Tensor.X`.
BOTH = {
    **_rows(_LINALG, "cholesky_inverse cholesky_solve det logdet matrix_exp matrix_power slogdet"),
    **_rows(_OLDER, "cholesky cross inverse lu_solve pinverse qr svd triangular_solve"),
    **_rows(_LINALG, "orgqr=householder_product"),
    **_rows("picograd.linalg.observations", "corrcoef cov"),
    **_rows("picograd.linalg.reflections", "geqrf ormqr"),
    **_rows("picograd.signal.spectrum", "istft stft"),
    **_rows("picograd.special.incomplete_gamma", "igamma=gammainc igammac=gammaincc"),
    **_rows(_SPECIAL, "digamma i0 lgamma mvlgamma=multigammaln"),
}

FUNCTIONS = {
    **BOTH,
    **_rows(_LINALG, "lu_unpack vecdot"),
    **_rows("picograd.linalg.observations", "cdist"),
    **_rows(
        "picograd.signal.windows",
        "bartlett_window blackman_window hamming_window hann_window kaiser_window",
    ),
    **_rows(_OLDER, "lu=lu_method pca_lowrank svd_lowrank vander"),
    **_rows(_SPECIAL, "polygamma"),
    **_rows("picograd.errors", "OutOfMemoryError"),
    **_rows("picograd.sparse", "sparse_coo_tensor"),
    **_rows(
        "picograd.nn.native",
        "_log_softmax_backward_data _softmax_backward_data native_batch_norm native_dropout "
        "native_group_norm native_layer_norm",
    ),
    **_rows(
        "picograd.nn.resampling",
        "grid_sampler grid_sampler_2d=grid_sampler grid_sampler_3d=grid_sampler",
    ),
    **_rows("picograd.nn.padding", "constant_pad_nd"),
    **_rows("picograd.layouts", "smm=spmm spmm"),
    **_rows(
        "picograd.amp",
        "autocast clear_autocast_cache get_autocast_cpu_dtype get_autocast_dtype "
        "get_autocast_gpu_dtype is_autocast_cache_enabled is_autocast_cpu_enabled "
        "is_autocast_enabled set_autocast_cache_enabled set_autocast_cpu_enabled "
        "set_autocast_dtype set_autocast_enabled",
    ),
    **_rows("picograd.frontend.vmap", "vmap"),
    **_rows("picograd.frontend.dlpack", "from_dlpack to_dlpack"),
    **_rows("picograd.serialization", "load save"),
    **_rows("picograd.futures", "Future"),
    **_rows(
        "picograd.layouts",
        "from_file sparse_compressed_tensor sparse_csc_tensor sparse_csr_tensor "
        "_scaled_mm=scaled_mm _as_tensor_fullprec=as_tensor_fullprec "
        "_amp_foreach_non_finite_check_and_unscale_=unscale",
    ),
    **_rows(
        "picograd.compiler",
        "are_deterministic_algorithms_enabled compile use_deterministic_algorithms",
    ),
    **_rows(
        "picograd.frontend.precision",
        "get_float32_matmul_precision set_float32_matmul_precision",
    ),
    # Those whose arguments are the same in both of torch's places.
    **_rows(
        "picograd.nn.functional",
        "adaptive_avg_pool1d avg_pool1d celu channel_shuffle conv1d conv2d "
        "conv3d conv_transpose1d conv_transpose2d conv_transpose3d cosine_similarity "
        "group_norm hardshrink max_pool1d max_pool2d max_pool3d "
        "pairwise_distance pdist pixel_shuffle pixel_unshuffle prelu rms_norm selu",
    ),
    **_rows(
        "picograd.nn.top_level", "alpha_dropout dropout feature_alpha_dropout layer_norm rrelu"
    ),
}

METHODS = {
    **BOTH,
    **_rows("picograd.frontend.dlpack", "__dlpack__=export __dlpack_device__=device_of"),
    **_rows("picograd.sparse", "to_sparse"),
    **_rows(_OLDER, "lu=lu_method"),
    **_rows("picograd.special.gamma", "polygamma=polygamma_method"),
    **_rows(
        "picograd.layouts",
        "dequantize record_stream reinforce to_dense to_sparse_csr",
    ),
}

# Methods that also have an in-place form.
INPLACE = {
    **_rows("picograd.special.incomplete_gamma", "igamma=gammainc igammac=gammaincc"),
    **_rows(_SPECIAL, "digamma i0 lgamma mvlgamma=multigammaln"),
    **_rows("picograd.special.gamma", "polygamma=polygamma_method"),
}


def find(name: str) -> object | None:
    """The function of a row, imported; None if there is no such row."""
    if name.startswith("_foreach_"):
        return importlib.import_module("picograd.optim.foreach").find(name)
    row = FUNCTIONS.get(name)
    return None if row is None else getattr(importlib.import_module(row[0]), row[1])


def _method(name: str, module: str, there: str) -> Callable[..., Any]:
    def method(self: object, *args: object, **kwargs: object) -> Any:
        return getattr(importlib.import_module(module), there)(self, *args, **kwargs)

    method.__name__, method.__qualname__ = name, f"Tensor.{name}"
    method.__doc__ = f"`picograd.{there}` of this tensor."
    return method


def install(tensor_class: type) -> None:
    """Put the methods on the class; what it has already stays."""
    from picograd.frontend.registry import in_place

    for name, row in METHODS.items():
        if not hasattr(tensor_class, name):
            setattr(tensor_class, name, _method(name, *row))
    for name, row in INPLACE.items():
        if not hasattr(tensor_class, name + "_"):
            setattr(tensor_class, name + "_", in_place(_method(name, *row), name + "_"))
