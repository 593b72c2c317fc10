"""Training runs for the operator: to look at, and to stop, repeat and put in the trash. Every write is an action."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from characters.admin import TrashableAdmin, TrashFilter
from training import actions
from training.models import CheckpointComparison, TrainingCheckpoint, TrainingRun


@admin.register(TrainingRun)
class TrainingRunAdmin(TrashableAdmin):
    list_display = ("character", "tier", "pack", "job", "state", "adapter", "created_by", "created_at", "trashed_at")
    list_filter = ("tier", "pack", "job__state", TrashFilter)
    list_select_related = ("character", "job", "adapter", "created_by")
    search_fields = ("character__name", "id", "job__id")
    date_hierarchy = "created_at"
    actions = ("cancel", "retry", "compare", "erase_checkpoints", "trash", "take_back")

    @admin.display(ordering="job__state")
    def state(self, run: TrainingRun) -> str:
        return run.job.get_state_display()

    @admin.action(description="Cancel", permissions=["trash"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.cancel_training)

    @admin.action(description="Try again", permissions=["trash"])
    def retry(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.retry_training)

    @admin.action(description="Compare checkpoints", permissions=["trash"])
    def compare(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.start_comparison)

    @admin.action(description="Erase checkpoints that are no adapter", permissions=["trash"])
    def erase_checkpoints(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.erase_checkpoints)

    @admin.action(description="Move to the trash", permissions=["trash"])
    def trash(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.trash_run)

    @admin.action(description="Take back from the trash", permissions=["trash"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.restore_run)

    def _each(self, request: HttpRequest, queryset: QuerySet[Any], do: Callable[..., Any]) -> None:
        for run in queryset.select_related("character__project", "job"):
            try:
                do(run=run, actor=request.user)
            except ValidationError as error:
                messages.warning(request, f"{run}: {' '.join(error.messages)}")


@admin.register(TrainingCheckpoint)
class TrainingCheckpointAdmin(TrashableAdmin):
    list_display = ("run", "step", "file", "adapter", "made_at")
    list_select_related = ("run__job", "file", "adapter")
    search_fields = ("run__character__name", "run__id", "sha256")
    date_hierarchy = "made_at"
    actions = ("use",)

    @admin.action(description="Use as the active adapter", permissions=["trash"])
    def use(self, request: HttpRequest, queryset: QuerySet[TrainingCheckpoint]) -> None:
        for checkpoint in queryset.select_related("run__character__project", "run__job"):
            try:
                actions.use_checkpoint(run=checkpoint.run, step=checkpoint.step, actor=request.user)  # type: ignore[arg-type]
            except ValidationError as error:
                messages.warning(request, f"{checkpoint.run}, {checkpoint}: {' '.join(error.messages)}")


@admin.register(CheckpointComparison)
class CheckpointComparisonAdmin(TrashableAdmin):
    list_display = ("run", "job", "state", "proposed_step", "confirmed_step", "created_by", "created_at")
    list_filter = ("job__state",)
    list_select_related = ("run__job", "job", "created_by")
    search_fields = ("run__character__name", "id", "job__id")
    date_hierarchy = "created_at"
    actions = ("cancel", "retry")

    @admin.display(ordering="job__state")
    def state(self, comparison: CheckpointComparison) -> str:
        return comparison.job.get_state_display()

    @admin.action(description="Cancel", permissions=["trash"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[CheckpointComparison]) -> None:
        self._each(request, queryset, actions.cancel_comparison)

    @admin.action(description="Try again", permissions=["trash"])
    def retry(self, request: HttpRequest, queryset: QuerySet[CheckpointComparison]) -> None:
        self._each(request, queryset, actions.retry_comparison)

    def _each(self, request: HttpRequest, queryset: QuerySet[Any], do: Callable[..., Any]) -> None:
        for comparison in queryset.select_related("run__character__project", "run__job", "job"):
            try:
                do(comparison=comparison, actor=request.user)
            except ValidationError as error:
                messages.warning(request, f"{comparison}: {' '.join(error.messages)}")
