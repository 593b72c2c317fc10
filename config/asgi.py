from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

_http = get_asgi_application()

from django.urls import path  # noqa: E402 - the applications are loaded from here on

from collaboration.live.socket import application as live  # noqa: E402

application = ProtocolTypeRouter({"http": _http, "websocket": URLRouter([path("live/", live)])})  # type: ignore[arg-type]

from config.bodies import bound_requests  # noqa: E402 - reads the settings, which are there from here on

bound_requests()
