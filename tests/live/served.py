"""Settings of a web server beside the tests: their files, and the database that they run on."""

from __future__ import annotations

import os

from config.settings import *  # noqa: F403

DATABASES["default"]["NAME"] = os.environ["SERVED_DATABASE"]  # noqa: F405
OPEN_SIGN_UP = False
