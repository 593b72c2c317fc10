from __future__ import annotations

from django.apps import AppConfig


class GpuWorkerConfig(AppConfig):
    name = "gpu_worker"
    verbose_name = "Jobs, workers and models"
