"""Files for the operator: to look at, and to erase for good."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from assets import actions
from assets.models import Asset


@admin.register(Asset)
class AssetAdmin(admin.ModelAdmin):
    list_display = (
        "original_name",
        "project",
        "kind",
        "width",
        "height",
        "bytes",
        "created_by",
        "created_at",
        "erased_at",
    )
    list_filter = ("kind", "project")
    list_select_related = ("project", "created_by")
    search_fields = ("original_name", "sha256", "id")
    date_hierarchy = "created_at"
    actions = ("erase",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Asset | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Asset | None = None) -> bool:
        return False

    def has_erase_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("assets.delete_asset"))

    @admin.action(description="Erase for good, leaving a tombstone", permissions=["erase"])
    def erase(self, request: HttpRequest, queryset: QuerySet[Asset]) -> HttpResponse | None:
        rows = list(queryset.filter(erased_at=None))
        if "confirmed" not in request.POST:
            context: dict[str, Any] = {**self.admin_site.each_context(request), "rows": rows, "opts": self.opts}
            return TemplateResponse(request, "assets/admin_erase.html", context)
        for asset in rows:
            actions.erase(asset=asset, actor=request.user)  # type: ignore[arg-type]
        self.message_user(request, f"Erased {len(rows)} file{'' if len(rows) == 1 else 's'}.")
        return None
