"""The operator's view of work: nothing is edited here; what can be done is done by actions."""

from __future__ import annotations

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

from collaboration.admin import ReadOnlyAdmin
from gpu_worker import actions
from gpu_worker.models import Adapter, Job, Schedule, Worker


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("title", "project", "kind", "queue", "state", "step", "total", "attempts", "worker", "created_at")
    list_filter = ("state", "queue", "kind")
    search_fields = ("title", "id", "error")
    list_select_related = ("project", "worker")
    date_hierarchy = "created_at"
    actions = ("cancel_jobs", "retry_jobs")

    @admin.action(description="Cancel")
    def cancel_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            actions.cancel(job=job)

    @admin.action(description="Try again")
    def retry_jobs(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset:
            try:
                actions.retry(job=job)
            except ValidationError as error:
                messages.warning(request, f"{job}: {' '.join(error.messages)}")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("lane", "host", "pid", "queues", "started_at", "beat_at", "stopped_at")
    list_filter = ("lane", "host")


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    list_display = ("name", "due_at", "last_run_at", "last_error")


@admin.register(Adapter)
class AdapterAdmin(ReadOnlyAdmin):
    list_display = ("subject_kind", "subject_id", "version", "pack", "rank", "is_active", "created_at", "erased_at")
    list_filter = ("pack", "is_active")
