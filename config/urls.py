from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path

from config import styleguide, views
from config.api import api

urlpatterns = [
    path("", views.home, name="home"),
    path("health/", views.health, name="health"),
    path("projects/<slug:project>/pulse/", views.pulse, name="pulse"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("api/v1/", api.urls),
    path("files/", include("assets.urls")),
    path("", include("collaboration.urls")),
    path("", include("collaboration.annotations.urls")),
    path("", include("collaboration.votes.urls")),
    path("", include("collaboration.approvals.urls")),
    path("", include("collaboration.reviews.urls")),
    path("", include("collaboration.notifications.urls")),
    path("", include("gpu_worker.urls")),
    path("", include("characters.urls")),
    path("", include("training.urls")),
]

if settings.DEBUG:
    urlpatterns.append(path("styleguide/", styleguide.styleguide, name="styleguide"))
