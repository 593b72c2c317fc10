from __future__ import annotations

from django.urls import path

from collaboration.reviews import views

app_name = "reviews"

_all = "projects/<slug:project>/reviews/"
_one = _all + "<uuid:review_id>/"

urlpatterns = [
    # /projects/<slug>/reviews/
    path(_all, views.reviews, name="reviews"),
    path(_all + "new/", views.new, name="new"),
    # /projects/<slug>/reviews/<uuid>/?at=<number>
    path(_one, views.review, name="review"),
    path(_one + "edit/", views.edit, name="edit"),
    path(_one + "close/", views.close, name="close"),
    path(_one + "reopen/", views.reopen, name="reopen"),
    path(_one + "trash/", views.trash, name="trash"),
    path(_one + "restore/", views.restore, name="restore"),
    path(_one + "items/<int:item_id>/decide/", views.decide, name="decide"),
    path(_one + "items/<int:item_id>/remove/", views.remove, name="remove"),
    # /projects/<slug>/reviews/<uuid>/summary/
    path(_one + "summary/", views.summary, name="summary"),
    path(_one + "summary.csv", views.summary_csv, name="summary_csv"),
    path(_one + "summary.json", views.summary_json, name="summary_json"),
]
