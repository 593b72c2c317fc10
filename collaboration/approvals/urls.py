from __future__ import annotations

from django.urls import path

from collaboration.approvals import views

app_name = "approvals"

_all = "projects/<slug:project>/approvals/"
_subject = _all + "<slug:kind>/<uuid:id>/"
_gate = _all + "gates/<uuid:gate_id>/"

urlpatterns = [
    # /projects/<slug>/approvals/gates/<uuid>/
    path(_gate + "edit/", views.edit, name="edit"),
    path(_gate + "remove/", views.remove, name="remove"),
    path(_gate + "restore/", views.restore, name="restore"),
    path(_gate + "ask/", views.ask, name="ask"),
    path(_gate + "approve/", views.approve, name="approve"),
    path(_gate + "withdraw/", views.withdraw, name="withdraw"),
    # /projects/<slug>/approvals/<kind>/<uuid>/
    path(_subject, views.approvals, name="approvals"),
    path(_subject + "mine/", views.mine, name="mine"),
]
