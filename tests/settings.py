"""The settings of the tests: the real ones, in a folder of their own, with what only slows tests down taken out.

The database, Redis and S3 are those of the environment (DATABASE_URL, REDIS_URL, S3_BUCKET): the same tests run on
SQLite and local files and on PostgreSQL, Redis and S3.
"""

from __future__ import annotations

import os
import tempfile

# Set before the real settings are read. Never the folder of the environment: tests must not touch real files.
_folder = tempfile.TemporaryDirectory(prefix="persona-tests-")
os.environ["DATA_DIR"] = _folder.name
os.environ["DEBUG"] = "1"
os.environ.setdefault("SECRET_KEY", "for-tests-only")
os.environ.setdefault("LOG_LEVEL", "WARNING")

from config.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
OPEN_SIGN_UP = False
ACCOUNT_RATE_LIMITS = False

# Processes that test side by side share one bucket, and some tests empty their storage.
if S3_BUCKET:  # noqa: F405
    STORAGES["default"]["OPTIONS"]["location"] = f"process-{os.getpid()}"  # noqa: F405
