"""Programs that ask for an accelerator without naming one."""

from __future__ import annotations

import pytest

import picograd as torch


def test_there_is_none() -> None:
    accelerator = torch.accelerator
    assert not accelerator.is_available() and accelerator.device_count() == 0
    assert (accelerator.current_accelerator() or torch.device("cpu")).type == "cpu"
    with pytest.raises(RuntimeError, match="is_available"):
        accelerator.synchronize()
