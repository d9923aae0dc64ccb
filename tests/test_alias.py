"""Programs whose import lines say torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.backends.cudnn as cudnn
from torch import Tensor, optim
from torch.nn import Linear
from torch.nn.utils import clip_grad_norm_
import picograd

assert torch is picograd and nn is picograd.nn and isinstance(torch.ones(1), Tensor)
assert picograd.__spec__.name == "picograd" and torch.nn.Linear is Linear
torch.manual_seed(0)
model = nn.Sequential(Linear(2, 4), nn.Tanh(), Linear(4, 1))
optimiser = optim.Adam(model.parameters(), lr=0.05)
x = torch.randn(32, 2)
for _ in range(30):
    loss = F.mse_loss(model(x), x[:, :1] * x[:, 1:])
    optimiser.zero_grad()
    loss.backward()
    clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
assert torch.__version__ > "2.", torch.__version__
print(sys.argv[1:], loss.item() < 1.5)
try:
    import torch.frobnicate
except ModuleNotFoundError as error:
    print(error)
"""


def test_a_program_runs_unchanged(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "picograd", str(program), "--epochs", "3"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['--epochs', '3'] True",
        "No module named 'torch.frobnicate'",
    ]


LINES = """
import torch, torch._dynamo; torch._dynamo.config.suppress_errors = True; torch._dynamo.reset()
import torch; torch._inductor.config.coordinate_descent_tuning = True
import torch; assert torch.version.hip is None
from torch.hub import load_state_dict_from_url
import torch.utils.model_zoo as model_zoo; model_zoo.load_url
from torch.profiler import ProfilerActivity, profile, record_function
import torch; torch.nn.modules.linear.Linear, torch.nn.attention.sdpa_kernel
import torch; torch.jit.ScriptModule, torch.jit.script_method
"""


def test_import_lines_of_programs(tmp_path: Path) -> None:
    """Each in a namespace of its own."""
    program = tmp_path / "program.py"
    program.write_text(f"for line in {LINES.strip().splitlines()!r}: exec(line, {{}})")
    done = subprocess.run(
        [sys.executable, "-m", "picograd", str(program)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_usage() -> None:
    done = subprocess.run([sys.executable, "-m", "picograd"], capture_output=True, text=True)
    assert done.returncode == 2 and "program.py" in done.stderr
