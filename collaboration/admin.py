"""The operator's view. Every write goes through the same actions as the pages; the log itself is never written here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest

from collaboration import actions
from collaboration.models import (
    ApiToken,
    Event,
    Invitation,
    Membership,
    Project,
    Revision,
    Studio,
    User,
)
from collaboration.names import clean_name, clean_text
from collaboration.verbs import Role

# Rights come from roles in projects; groups of permissions would be a second, unseen way to them.
admin.site.unregister(Group)
admin.site.site_header = "Persona Studio, for its operator"
admin.site.site_title = "Persona Studio"


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


# --------------------------------------------------------------------------------------------------------- people
def _own_address(form: forms.ModelForm) -> str:
    email = form.cleaned_data["email"].lower()
    if User.objects.filter(email=email).exclude(pk=form.instance.pk).exists():
        raise ValidationError("Somebody signs in with this address already.")
    return email


class AddUserForm(UserCreationForm):
    class Meta:
        model = User
        fields = ("email", "name")
        field_classes: dict[str, type[forms.Field]] = {}

    def clean_email(self) -> str:
        return _own_address(self)

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"]) if self.cleaned_data["name"] else ""


class ChangeUserForm(forms.ModelForm):
    class Meta:
        model = User
        fields = ("email", "name", "is_active", "is_staff", "is_superuser")

    def clean_email(self) -> str:
        return _own_address(self)

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"]) if self.cleaned_data["name"] else ""


@admin.register(User)
class UserAdmin(BaseUserAdmin):
    """People are made inactive rather than deleted: what they did stays in the log under their name."""

    form = ChangeUserForm
    add_form = AddUserForm
    list_display = ("email", "name", "is_active", "is_staff", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    ordering = ("email",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("email", "name")}),
        ("Access", {"fields": ("is_active", "is_staff", "is_superuser")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("email", "name", "password1", "password2")}),)

    def get_urls(self) -> list[Any]:
        # Django's own page for passwords would write them past the actions. A forgotten one is chosen anew by mail.
        return [url for url in super().get_urls() if url.name != "auth_user_password_change"]

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if not change:
            made = actions.create_account(
                email=form.cleaned_data["email"],
                name=form.cleaned_data["name"],
                password=form.cleaned_data.get("password1"),
                actor=request.user,  # type: ignore[arg-type]
            )
            obj.__dict__.update(made.__dict__)
            return
        actions.change_account(
            user=User.objects.get(pk=obj.pk),
            actor=request.user,  # type: ignore[arg-type]
            **{name: form.cleaned_data[name] for name in form.changed_data},
        )


# ---------------------------------------------------------------------------------------------- studios, projects
class StudioForm(forms.ModelForm):
    class Meta:
        model = Studio
        fields = ("name",)

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"], what="name of the studio")


@admin.register(Studio)
class StudioAdmin(admin.ModelAdmin):
    form = StudioForm
    list_display = ("name", "slug", "created_at")
    search_fields = ("name", "slug")

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Studio, form: Any, change: bool) -> None:
        if change:
            kept = Studio.objects.get(pk=obj.pk)
            actions.rename_studio(studio=kept, name=form.cleaned_data["name"], actor=request.user)  # type: ignore[arg-type]
        else:
            made = actions.create_studio(name=form.cleaned_data["name"], admin=request.user)  # type: ignore[arg-type]
            obj.__dict__.update(made.__dict__)


class ProjectForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ("studio", "name", "description", "is_commercial", "domain")

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"])

    def clean_description(self) -> str:
        return clean_text(self.cleaned_data["description"], limit=4000)


@admin.register(Project)
class ProjectAdmin(admin.ModelAdmin):
    form = ProjectForm
    list_display = ("name", "studio", "is_commercial", "created_at")
    list_filter = ("studio", "is_commercial")
    list_select_related = ("studio",)
    search_fields = ("name", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: Project | None = None) -> tuple[str, ...]:
        return ("studio",) if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Project, form: Any, change: bool) -> None:
        values = {k: v for k, v in form.cleaned_data.items() if k != "studio"}
        if change:
            actions.change_project(project=Project.objects.get(pk=obj.pk), actor=request.user, **values)  # type: ignore[arg-type]
        else:
            studio = form.cleaned_data["studio"]
            made = actions.create_project(studio=studio, actor=request.user, **values)  # type: ignore[arg-type]
            obj.__dict__.update(made.__dict__)


class MembershipForm(forms.ModelForm):
    class Meta:
        model = Membership
        fields = ("project", "user", "role")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if self.instance.pk and cleaned.get("role") not in (None, Role.OWNER):
            kept = Membership.objects.select_related("project", "user").get(pk=self.instance.pk)
            if actions.is_last_owner(kept.project, kept.user):
                raise actions.LastOwner
        return cleaned


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):
    form = MembershipForm
    list_display = ("user", "project", "role", "since")
    list_filter = ("role", "project__studio")
    list_select_related = ("user", "project")
    search_fields = ("user__email", "user__name", "project__name")
    autocomplete_fields = ("user", "project")
    # Deleting several at once would bypass the action, and with it the last owner's protection.
    actions = None

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> tuple[str, ...]:
        return ("project", "user") if obj else ()

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        made = actions.set_role(
            project=obj.project,
            user=obj.user,
            role=Role(form.cleaned_data["role"]),
            actor=request.user,  # type: ignore[arg-type]
        )
        obj.__dict__.update(made.__dict__)

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        try:
            actions.remove_member(project=obj.project, user=obj.user, actor=request.user)  # type: ignore[arg-type]
        except ValidationError as error:
            messages.error(request, error.messages[0])

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        if isinstance(obj, Membership) and actions.is_last_owner(obj.project, obj.user):
            return False
        return super().has_delete_permission(request, obj)


# -------------------------------------------------------------------------------------------------------- the log
@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The audit trail: everything that anybody did, in its order."""

    list_display = ("at", "actor", "summary", "kind", "stream", "seq")
    list_filter = ("kind", ("actor", admin.RelatedOnlyFieldListFilter), "at", "stream__kind")
    list_select_related = ("actor", "stream")
    search_fields = ("summary", "subject_id", "actor__email")
    date_hierarchy = "at"
    ordering = ("-at", "-seq")
    show_full_result_count = False


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    list_display = ("at", "author", "subject_kind", "subject_id", "number", "reason")
    list_filter = ("subject_kind", "project")
    list_select_related = ("author",)
    search_fields = ("subject_id", "reason")
    ordering = ("-at",)
    show_full_result_count = False


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ("project", "role", "state", "created_by", "created_at", "expires_at", "accepted_by")
    list_filter = ("role", "project__studio")
    list_select_related = ("project", "created_by", "accepted_by")
    exclude = ("secret_hash",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ("user", "name", "hint", "state", "created_at", "expires_at", "last_used_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "name")
    exclude = ("secret_hash",)
