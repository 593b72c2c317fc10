from __future__ import annotations

from django.urls import path

from collaboration.annotations import views

app_name = "annotations"

_image = "projects/<slug:project>/images/<slug:kind>/<uuid:id>/annotations/"
_one = "projects/<slug:project>/annotations/<uuid:annotation_id>/"

urlpatterns = [
    # /projects/<slug>/images/<kind>/<uuid>/annotations/
    path(_image, views.create, name="create"),
    # /projects/<slug>/annotations/<uuid>/<what>/
    path(_one + "<slug:what>/", views.act, name="act"),
    path(
        "projects/<slug:project>/annotations/replies/<uuid:reply_id>/remove/", views.reply_remove, name="reply_remove"
    ),
]
