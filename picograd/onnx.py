"""`torch.onnx`: not supported; programs that ask learn so.

In: anything. Out: NotImplementedError.

>>> is_in_onnx_export()
False
"""

from typing import Any, NoReturn


def export(*args: Any, **kwargs: Any) -> NoReturn:
    """Write a model as ONNX."""
    raise NotImplementedError(
        "picograd.onnx.export isn't supported; save the state_dict with picograd.save, and export "
        "it with the library that reads it"
    )


def is_in_onnx_export() -> bool:
    """Whether an export is running: never."""
    return False
