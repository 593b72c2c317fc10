from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "diffusers", "transformers", "peft", "onnxruntime", "insightface", "cv2", "numpy", "PIL", "django")


@pytest.mark.parametrize(
    "module",
    [
        "gpu_worker.contracts",
        "gpu_worker.packs",
        "gpu_worker.calibration",
        "gpu_worker.checks",
        "gpu_worker.runner",
        "gpu_worker.runner.__main__",
    ],
)
def test_importing_loads_no_model_library(module: str) -> None:
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not set(out.split()) & set(HEAVY)


def test_the_compute_half_never_imports_django() -> None:
    code = (
        "import sys, gpu_worker.runner, gpu_worker.pipelines.sd, gpu_worker.trainers.lora, gpu_worker.scorers.look;"
        "assert 'torch' in sys.modules; print('django' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_worker_that_only_looks_does_not_load_torch(tiny_pack: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from PIL import Image\n"
        "from gpu_worker.contracts import LookRequest; from gpu_worker.runner import Runner\n"
        f"work = Path({str(tmp_path)!r}); Image.new('RGB', (64, 64)).save(work / 'a.png')\n"
        f"request = LookRequest(pack={str(tiny_pack)!r}, pictures=('a.png',))\n"
        "print(list(Runner().run(request, work, should_stop=lambda: False))[-1].type, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["done", "False"]
