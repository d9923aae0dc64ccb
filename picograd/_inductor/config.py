"""The switches of torch's compiler that programs set. Nothing reads them.

In: assignments. Out: the names that they may read before.

>>> max_autotune
False
"""

from types import SimpleNamespace

max_autotune = coordinate_descent_tuning = fx_graph_cache = epilogue_fusion = False
triton = SimpleNamespace(unique_kernel_names=False, cudagraphs=False)
cpp = SimpleNamespace(threads=-1)
