"""All settings, read from the environment. What each variable means stands in the README under *Production*."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "var"))).resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

# ------------------------------------------------------------------------------------------------------ the basics
DEBUG = env.flag("DEBUG")
SECRET_KEY = env.text("SECRET_KEY", "for-development-only" if DEBUG else None)
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", "localhost,127.0.0.1" if DEBUG else "")
if not DEBUG and not ALLOWED_HOSTS:
    raise ImproperlyConfigured("Set ALLOWED_HOSTS to the names this studio is reached by, separated by commas.")
if not DEBUG and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY must have at least 32 characters.")
HTTPS = env.flag("HTTPS")
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "channels",
    "csp",
    "django_htmx",
    "ninja",
    "config",
    "library",
    "training",
    "characters",
    "gpu_worker",
    "assets",
    "collaboration",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "collaboration.caching.CachingMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "collaboration.live.middleware.LiveMiddleware",
    "collaboration.rest.middleware.ApiMiddleware",
    "collaboration.idempotency.IdempotencyMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
WIRING = "config.wiring"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.frame",
            ],
        },
    }
]

# ------------------------------------------------------------------------------------------- services, by setting
DATABASE_URL = env.text("DATABASE_URL", "")
DATABASES: dict[str, Any] = {"default": env.database(DATABASE_URL, DATA_DIR)}

REDIS_URL = env.text("REDIS_URL", "")
CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL]},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
# How often the hub looks for events it was not told of. With Redis it is told of those that other processes wrote, too.
LIVE_POLL_SECONDS = 1.0 if REDIS_URL else 0.15
CACHES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# Sources served as they are: no collectstatic, no manifest.
STATIC_FROM_SOURCE = env.flag("STATIC_FROM_SOURCE", default=DEBUG)
S3_BUCKET = env.text("S3_BUCKET", "")
S3_ENDPOINT_URL = env.text("S3_ENDPOINT_URL", "")
S3_REGION = env.text("S3_REGION", "us-east-1")
STORAGES: dict[str, Any] = {
    "default": {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": S3_ENDPOINT_URL or None,
            "region_name": S3_REGION,
            "default_acl": None,
            "querystring_auth": True,
            "querystring_expire": 300,
            "file_overwrite": False,
            "signature_version": "s3v4",
        },
    }
    if S3_BUCKET
    else {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": DATA_DIR / "files"}},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if STATIC_FROM_SOURCE
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = STATIC_FROM_SOURCE
WHITENOISE_AUTOREFRESH = DEBUG

_mail = "smtp" if env.text("EMAIL_HOST", "") else "console"
EMAIL_BACKEND = env.text("EMAIL_BACKEND", f"django.core.mail.backends.{_mail}.EmailBackend")
EMAIL_HOST = env.text("EMAIL_HOST", "localhost")
EMAIL_PORT = env.whole("EMAIL_PORT", 25)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env.flag("EMAIL_USE_TLS")
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Persona Studio <studio@localhost>")

SITE_URL = env.text("SITE_URL", f"http{'s' if HTTPS else ''}://{(ALLOWED_HOSTS or ['localhost'])[0].lstrip('.*')}")
DIGEST_HOUR = env.whole("DIGEST_HOUR", 7) % 24
WEBHOOKS_MAY_REACH_PRIVATE = env.flag("WEBHOOKS_MAY_REACH_PRIVATE")

# ---------------------------------------------------------------------------------------------------------- work
# How a committed job becomes known to workers: a Dramatiq message, or nothing (workers poll the job table).
JOB_HINT = "gpu_worker.hints.send_message" if REDIS_URL else "gpu_worker.hints.leave_to_polling"
JOB_LEASE_SECONDS = env.whole("JOB_LEASE_SECONDS", 30)
JOB_POLL_SECONDS = 0.5
MODEL_PACKS = [Path(p) for p in env.words("MODEL_PACKS", str(BASE_DIR / "gpu_worker" / "packs"))]
DEFAULT_PACK = env.text("DEFAULT_PACK", "mini")
EVALUATIONS_DIR = DATA_DIR / "evaluations"
SCRATCH_DIR = Path(env.text("SCRATCH_DIR", str(DATA_DIR / "scratch")))

API_REQUESTS_PER_MINUTE = env.whole("API_REQUESTS_PER_MINUTE", 1200)

# -------------------------------------------------------------------------------------------------------- sign-in
AUTH_USER_MODEL = "collaboration.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = env.text("ACCOUNT_EMAIL_VERIFICATION", "optional")
ACCOUNT_SESSION_REMEMBER = True
# Attempts to sign in are counted by address; behind a proxy all of them come from the proxy's.
ALLAUTH_TRUSTED_PROXY_COUNT = env.whole("TRUSTED_PROXIES", int(HTTPS))
ACCOUNT_ADAPTER = "config.accounts.AccountAdapter"
OPEN_SIGN_UP = env.flag("OPEN_SIGN_UP", default=DEBUG)
SAMPLE_SIGN_INS = env.flag("SAMPLE_SIGN_INS")
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# ------------------------------------------------------------------------------------------------------- security
# Pages show pictures from the signed addresses of the bucket.
PICTURE_ORIGINS = env.words("PICTURE_ORIGINS") or env.origins_of_bucket(S3_BUCKET, S3_ENDPOINT_URL, S3_REGION)
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "img-src": [SELF, "data:", "blob:", *PICTURE_ORIGINS],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "manifest-src": [SELF],
    }
}
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
if HTTPS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SECURE_HSTS_SECONDS = 31_536_000
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = True
CSRF_FAILURE_VIEW = "config.views.csrf_failure"

# A request as a whole, in memory while it is carried out; what is no file in it; and from where on a file goes to disk.
REQUEST_BYTES = env.whole("REQUEST_MEGABYTES", 512) * 2**20
DATA_UPLOAD_MAX_MEMORY_SIZE = 30 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2000
FILE_UPLOAD_MAX_MEMORY_SIZE = 5 * 1024 * 1024

# ----------------------------------------------------------------------------------------------------------- words
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.text("LOG_LEVEL", "INFO")},
    "loggers": {
        "django.channels.server": {"level": env.text("ACCESS_LOG_LEVEL", "WARNING")},
        "daphne": {"level": "WARNING"},
    },
}
