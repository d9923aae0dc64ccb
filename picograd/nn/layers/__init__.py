"""The layers: modules over the functions of `picograd.nn.functional`, one family per file.

In: hyper-parameters. Out: `Module`s with torch's names, arguments, initialisation, parameter names
and `repr`. `picograd/nn/__init__.py` exports them.
"""
