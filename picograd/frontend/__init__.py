"""The frontend: torch's names and semantics over the graph.

`MODULES` lists the modules whose functions `picograd/__init__.py` exports (`frontend/registry.py`).
"""

MODULES = (
    "derivatives",
    "derivatives_structure",
    "views",
    "slicing",
    "memory",
    "storage_view",
    "gradients",
    "interop",
    "conversion",
    "elementwise",
    "transcendental",
    "comparison",
    "selection",
    "reductions",
    "scans",
    "statistics",
    "creation",
    "movement",
    "random",
    "sampling",
    "contractions",
    "einstein",
    "gathering",
    "indexing",
    "hostdata",
    "sorting",
    "legacy",
    "striding",
    "derived",
    "copies",
    "numeric",
    "system",
)
