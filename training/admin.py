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
from training.models import TrainingRun


@admin.register(TrainingRun)
class TrainingRunAdmin(TrashableAdmin):
    list_display = ("character", "tier", "pack", "job", "state", "adapter", "created_by", "created_at", "trashed_at")
    list_filter = ("tier", "pack", "job__state", TrashFilter)
    list_select_related = ("character", "job", "adapter", "created_by")
    search_fields = ("character__name", "id", "job__id")
    date_hierarchy = "created_at"
    actions = ("cancel", "retry", "trash", "take_back")

    @admin.display(ordering="job__state")
    def state(self, run: TrainingRun) -> str:
        return run.job.get_state_display()

    @admin.action(description="Cancel", permissions=["trash"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.cancel_training)

    @admin.action(description="Try again", permissions=["trash"])
    def retry(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        self._each(request, queryset, actions.retry_training)

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
