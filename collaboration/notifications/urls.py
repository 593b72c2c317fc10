from __future__ import annotations

from django.urls import path

from collaboration.notifications import views

app_name = "notifications"

_hooks = "projects/<slug:project>/settings/webhooks/"
_hook = _hooks + "<uuid:hook_id>/"

urlpatterns = [
    # /notifications/
    path("notifications/", views.notifications, name="notifications"),
    path("notifications/list/", views.own_list, name="list"),
    path("notifications/bell/", views.bell, name="bell"),
    path("notifications/read/", views.read, name="read"),
    path("notifications/unread/", views.unread, name="unread"),
    path("notifications/<int:notification_id>/", views.open_one, name="open"),
    # /account/notifications/
    path("account/notifications/", views.choices, name="choices"),
    path("account/notifications/mail-again/", views.mail_again, name="mail_again"),
    # /projects/<slug>/settings/webhooks/
    path(_hooks, views.webhooks, name="webhooks"),
    path(_hook, views.webhook, name="webhook"),
    path(_hook + "switch/", views.webhook_switch, name="webhook_switch"),
    path(_hook + "secret/", views.webhook_secret, name="webhook_secret"),
    path(_hook + "try/", views.webhook_try, name="webhook_try"),
    path(_hook + "remove/", views.webhook_remove, name="webhook_remove"),
    path(_hook + "again/", views.webhook_again, name="webhook_again"),
]
