"""The namespace `torch.nested`: tensors of rows of several lengths, which aren't supported.

In: torch's arguments. Out: NotImplementedError that says how to do without.

>>> nested_tensor([])
Traceback (most recent call last):
    ...
NotImplementedError: picograd has no nested tensors: use nn.utils.rnn.pad_sequence and a mask
"""

from typing import Any, NoReturn


def nested_tensor(*args: Any, **kwargs: Any) -> NoReturn:
    """Nested tensors aren't supported. Raises NotImplementedError."""
    raise NotImplementedError(
        "picograd has no nested tensors: use nn.utils.rnn.pad_sequence and a mask"
    )


as_nested_tensor = nested_tensor_from_jagged = to_padded_tensor = nested_tensor
