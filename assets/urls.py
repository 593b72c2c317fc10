"""/files/<uuid>/, /files/<uuid>/<size>/"""

from __future__ import annotations

from django.urls import path

from assets import views

app_name = "assets"
urlpatterns = [
    path("<uuid:asset_id>/", views.file, name="file"),
    path("<uuid:asset_id>/<int:size>/", views.thumbnail, name="thumbnail"),
]
