from __future__ import annotations

from django.urls import path

from training import views

app_name = "training"

_runs = "projects/<slug:project>/training/"
_run = _runs + "<uuid:run_id>/"
_character = "projects/<slug:project>/characters/<uuid:character_id>/"
_adapter = "projects/<slug:project>/adapters/<uuid:adapter_id>/"

urlpatterns = [
    # /projects/<slug>/training/
    path(_runs, views.queue, name="queue"),
    # /projects/<slug>/training/<uuid>/
    path(_run, views.run, name="run"),
    path(_run + "pause/", views.pause, name="pause"),
    path(_run + "resume/", views.resume, name="resume"),
    path(_run + "cancel/", views.cancel, name="cancel"),
    path(_run + "retry/", views.retry, name="retry"),
    path(_run + "trash/", views.trash, name="trash"),
    path(_run + "restore/", views.restore, name="restore"),
    path(_run + "compare/", views.compare, name="compare"),
    path(_run + "compare/cancel/", views.compare_cancel, name="compare_cancel"),
    path(_run + "compare/retry/", views.compare_retry, name="compare_retry"),
    path(_run + "checkpoints/erase/", views.checkpoints_erase, name="checkpoints_erase"),
    path(_run + "checkpoints/<int:step>/use/", views.checkpoint_use, name="checkpoint_use"),
    # /projects/<slug>/characters/<uuid>/train/
    path(_character + "train/", views.new, name="new"),
    path(_character + "train/progress/", views.tab, name="tab"),
    # /projects/<slug>/adapters/<uuid>/
    path(_adapter + "activate/", views.adapter_activate, name="adapter_activate"),
    path(_adapter + "erase/", views.adapter_erase, name="adapter_erase"),
]
