"""Running a request: in this process with warm models (`Runner`), or in a process of its own (`run_in_subprocess`).

Importing this loads no model library; the first run does.
"""

from __future__ import annotations

from gpu_worker.runner.child import run_in_subprocess
from gpu_worker.runner.warm import Runner, failure

__all__ = ["Runner", "failure", "run_in_subprocess"]
