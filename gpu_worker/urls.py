"""/studios/<slug>/catalogue/, /catalogue/<pack>/<version>/evaluation/"""

from __future__ import annotations

from django.urls import path

from gpu_worker import views

app_name = "gpu_worker"
urlpatterns = [
    path("studios/<slug:studio>/catalogue/", views.catalogue, name="catalogue"),
    path("catalogue/<str:pack>/<str:version>/evaluation/", views.report, name="report"),
]
