"""Characters for the operator: to look at, and to put in the trash and take back. Every write is an action."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from characters import actions, orders
from characters.models import (
    Character,
    CharacterSheet,
    Measurement,
    Preset,
    Reference,
    SheetTake,
    Variation,
    VariationBatch,
)
from collaboration.admin import ReadOnlyAdmin


class TrashableAdmin(ReadOnlyAdmin):
    def has_trash_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))


class TrashFilter(admin.SimpleListFilter):
    title = "trash"
    parameter_name = "trashed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Present"), ("yes", "In the trash")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        return queryset.filter(trashed_at__isnull=self.value() == "no")


@admin.register(Character)
class CharacterAdmin(TrashableAdmin):
    list_display = ("name", "project", "tier", "status", "reference_count", "score", "updated_at", "trashed_at")
    list_filter = ("status", "tier", TrashFilter, "project")
    list_select_related = ("project",)
    search_fields = ("name", "description", "id")
    date_hierarchy = "created_at"
    actions = ("trash", "take_back")

    @admin.action(description="Move to the trash", permissions=["trash"])
    def trash(self, request: HttpRequest, queryset: QuerySet[Character]) -> None:
        # The events of one act belong to one project's stream.
        count = 0
        for project in {c.project_id for c in queryset}:
            chosen = queryset.filter(project=project)
            count += len(actions.trash_characters(characters=chosen, actor=request.user))  # type: ignore[arg-type]
        self.message_user(request, f"{count} moved to the trash.")

    @admin.action(description="Take back from the trash", permissions=["trash"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Character]) -> None:
        rows = list(queryset.exclude(trashed_at=None))
        for character in rows:
            actions.restore_character(character=character, actor=request.user)  # type: ignore[arg-type]
        self.message_user(request, f"{len(rows)} taken back.")


@admin.register(Reference)
class ReferenceAdmin(TrashableAdmin):
    list_display = ("asset", "character", "origin", "verdict", "is_held_out", "added_by", "added_at", "trashed_at")
    list_filter = ("verdict", "origin", "is_held_out", TrashFilter)
    list_select_related = ("asset", "character", "added_by")
    search_fields = ("character__name", "asset__original_name", "id")
    actions = ("trash", "take_back")

    @admin.action(description="Remove", permissions=["trash"])
    def trash(self, request: HttpRequest, queryset: QuerySet[Reference]) -> None:
        for reference in queryset.present().select_related("character__project"):  # type: ignore[attr-defined]
            actions.trash_reference(reference=reference, actor=request.user)  # type: ignore[arg-type]

    @admin.action(description="Take back", permissions=["trash"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Reference]) -> None:
        for reference in queryset.exclude(trashed_at=None).select_related("character__project"):
            actions.restore_reference(reference=reference, actor=request.user)  # type: ignore[arg-type]


@admin.register(VariationBatch)
class VariationBatchAdmin(TrashableAdmin):
    list_display = ("id", "character", "tier", "pack", "adapter", "job", "created_by", "created_at")
    list_filter = ("tier", "pack")
    list_select_related = ("character", "adapter", "job", "created_by")
    search_fields = ("character__name", "id")
    date_hierarchy = "created_at"


@admin.register(Variation)
class VariationAdmin(TrashableAdmin):
    list_display = ("id", "character", "score", "no_score_reason", "seed", "picked_by", "made_at", "trashed_at")
    list_filter = (TrashFilter,)
    list_select_related = ("character", "picked_by")
    search_fields = ("character__name", "id", "prompt")
    date_hierarchy = "made_at"


@admin.register(Measurement)
class MeasurementAdmin(ReadOnlyAdmin):
    list_display = ("variation", "score", "no_score_reason", "asked_by", "measured_at")
    list_select_related = ("variation", "asked_by")
    search_fields = ("variation__id",)
    date_hierarchy = "measured_at"


@admin.register(CharacterSheet)
class CharacterSheetAdmin(ReadOnlyAdmin):
    list_display = ("id", "character", "created_by", "created_at")
    list_select_related = ("character", "created_by")
    search_fields = ("character__name", "id")
    date_hierarchy = "created_at"


@admin.register(SheetTake)
class SheetTakeAdmin(ReadOnlyAdmin):
    list_display = ("variation", "cell", "verdict", "decided_by", "decided_at")
    list_filter = ("verdict",)
    list_select_related = ("variation", "cell", "decided_by")
    search_fields = ("cell__sheet__character__name", "variation__id")


@admin.register(Preset)
class PresetAdmin(TrashableAdmin):
    list_display = ("name", "project", "created_by", "created_at", "trashed_at")
    list_filter = (TrashFilter, "project")
    list_select_related = ("project", "created_by")
    search_fields = ("name",)
    actions = ("trash", "take_back")

    @admin.action(description="Delete", permissions=["trash"])
    def trash(self, request: HttpRequest, queryset: QuerySet[Preset]) -> None:
        for preset in queryset.select_related("project"):
            orders.trash_preset(preset=preset, actor=request.user)  # type: ignore[arg-type]

    @admin.action(description="Take back", permissions=["trash"])
    def take_back(self, request: HttpRequest, queryset: QuerySet[Preset]) -> None:
        for preset in queryset.select_related("project"):
            orders.restore_preset(preset=preset, actor=request.user)  # type: ignore[arg-type]
