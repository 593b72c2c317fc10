from __future__ import annotations

from django.urls import path

from collaboration.votes import views

app_name = "votes"

urlpatterns = [
    # /projects/<slug>/votes/
    path("projects/<slug:project>/votes/mine/", views.mine, name="mine"),
    path("projects/<slug:project>/votes/rules/", views.rules, name="rules"),
    path("projects/<slug:project>/votes/<slug:kind>/<uuid:id>/", views.vote, name="vote"),
]
