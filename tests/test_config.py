"""The settings, read from the environment by a fresh process, as at a real start."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.urls import reverse

from config import environment

READ = """
import json
from config import settings as s
print(json.dumps({k: repr(getattr(s, k)) for k in %r}))
"""
FINE = {"SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "studio.example.com"}


def start(tmp_path, *names, **variables):
    """Import the settings in a process with only these variables. Returns (values as their repr, what stderr says)."""
    env = {"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), **variables}
    done = subprocess.run(
        [sys.executable, "-c", READ % (names,)],
        cwd=settings.BASE_DIR,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr


# ----------------------------------------------------------------------------------------------------- loud failures
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "Set SECRET_KEY in the environment."),
        ({"SECRET_KEY": "x" * 50}, "Set ALLOWED_HOSTS"),
        ({"SECRET_KEY": "short", "ALLOWED_HOSTS": "a.example.com"}, "at least 32 characters"),
        ({**FINE, "HTTPS": "maybe"}, "HTTPS must be 1 or 0, not 'maybe'."),
        ({**FINE, "JOB_LEASE_SECONDS": "soon"}, "JOB_LEASE_SECONDS must be a whole number."),
        ({**FINE, "DATABASE_URL": "mysql://localhost/studio"}, "DATABASE_URL must begin with postgres://"),
        ({**FINE, "S3_BUCKET": "reels", "S3_ENDPOINT_URL": "s3.example.com"}, "an address with its scheme"),
    ],
)
def test_a_wrong_environment_stops_the_start_with_a_sentence(tmp_path, variables, sentence):
    values, said = start(tmp_path, "DEBUG", **variables)
    assert values is None
    assert "ImproperlyConfigured" in said
    assert sentence in said


def test_production_is_the_default(tmp_path):
    values, said = start(tmp_path, "DEBUG", "OPEN_SIGN_UP", "ALLOWED_HOSTS", "SAMPLE_SIGN_INS", **FINE)
    assert values == {
        "DEBUG": "False",
        "OPEN_SIGN_UP": "False",
        "ALLOWED_HOSTS": "['studio.example.com']",
        "SAMPLE_SIGN_INS": "False",
    }, said


def test_https_makes_cookies_secure(tmp_path):
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_SSL_REDIRECT", "SECURE_HSTS_SECONDS")
    values, said = start(tmp_path, *names, **FINE, HTTPS="1")
    assert list(values.values()) == ["True", "True", "True", "31536000"], said


@pytest.mark.parametrize(
    ("variables", "origins"),
    [
        ({}, []),
        ({"S3_ENDPOINT_URL": "https://s3.example.com:9000/x"}, ["https://s3.example.com:9000"]),
        ({"S3_REGION": "eu-west-1"}, ["https://reels.s3.amazonaws.com", "https://reels.s3.eu-west-1.amazonaws.com"]),
        ({"PICTURE_ORIGINS": "https://cdn.example.com"}, ["https://cdn.example.com"]),
    ],
)
def test_pages_may_show_pictures_from_the_bucket(tmp_path, variables, origins):
    bucket = {"S3_BUCKET": "reels"} if variables else {}
    values, said = start(tmp_path, "CONTENT_SECURITY_POLICY", **FINE, **bucket, **variables)
    allowed = ast.literal_eval(values["CONTENT_SECURITY_POLICY"])["DIRECTIVES"]["img-src"]
    assert allowed == ["'self'", "data:", "blob:", *origins], said


def test_mail_is_sent_where_a_host_is_named(tmp_path):
    names = ("EMAIL_BACKEND", "EMAIL_HOST")
    assert start(tmp_path, *names, **FINE)[0] == {
        "EMAIL_BACKEND": "'django.core.mail.backends.console.EmailBackend'",
        "EMAIL_HOST": "'localhost'",
    }
    assert start(tmp_path, *names, **FINE, EMAIL_HOST="mail.example.com")[0] == {
        "EMAIL_BACKEND": "'django.core.mail.backends.smtp.EmailBackend'",
        "EMAIL_HOST": "'mail.example.com'",
    }


def test_development_needs_no_variables(tmp_path):
    values, said = start(tmp_path, "DEBUG", "ALLOWED_HOSTS", DEBUG="1")
    assert values == {"DEBUG": "True", "ALLOWED_HOSTS": "['localhost', '127.0.0.1']"}, said


def test_the_data_folder_is_made(tmp_path):
    start(tmp_path / "new" / "folder", "DEBUG", DEBUG="1")
    assert (tmp_path / "new" / "folder").is_dir()


# ---------------------------------------------------------------------------------------------------------- reading
@pytest.mark.parametrize(("value", "is_on"), [("1", True), ("TRUE ", True), ("on", True), ("0", False), ("", False)])
def test_flags(monkeypatch, value, is_on):
    monkeypatch.setenv("A_FLAG", value)
    assert environment.flag("A_FLAG", default=True) is is_on


def test_an_absent_flag_is_its_default(monkeypatch):
    monkeypatch.delenv("A_FLAG", raising=False)
    assert environment.flag("A_FLAG", default=True)
    assert not environment.flag("A_FLAG")


def test_words(monkeypatch):
    monkeypatch.setenv("SOME_WORDS", " a, b ,,c ")
    assert environment.words("SOME_WORDS") == ["a", "b", "c"]


def test_a_database_by_its_address():
    got = environment.database("postgres://anna:p%40ss@db.example.com:5433/film?sslmode=require", Path("/data"))
    assert got["ENGINE"] == "django.db.backends.postgresql"
    assert (got["NAME"], got["USER"], got["PASSWORD"]) == ("film", "anna", "p@ss")
    assert (got["HOST"], got["PORT"], got["OPTIONS"]) == ("db.example.com", "5433", {"sslmode": "require"})


def test_a_database_by_its_socket():
    got = environment.database("postgresql:///film?host=/run/postgresql", Path("/data"))
    assert (got["NAME"], got["HOST"], got["OPTIONS"]) == ("film", "/run/postgresql", {})


def test_without_an_address_sqlite_in_the_data_folder():
    got = environment.database("", Path("/data"))
    assert got["ENGINE"] == "django.db.backends.sqlite3"
    assert got["NAME"] == Path("/data/studio.sqlite3")
    assert got["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    with pytest.raises(ImproperlyConfigured):
        environment.database("sqlite:///x", Path("/data"))


# ------------------------------------------------------------------------------------------------------ the whole
def test_the_tests_have_a_folder_of_their_own():
    assert "persona-tests-" in str(settings.DATA_DIR)


def test_system_checks_pass():
    call_command("check", fail_level="WARNING")


def test_no_migration_is_missing(db):
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_health(client, db):
    assert client.get(reverse("health")).json() == {"ok": True}


def test_the_policy_allows_nothing_inline(client, db):
    policy = client.get(reverse("account_login")).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy


def test_home_is_the_only_project_or_the_list(client_of, project, studio, bob, charlie):
    assert client_of(bob).get("/").url == project.get_absolute_url()
    assert client_of(charlie).get("/").url == reverse("collaboration:projects")


def test_home_asks_to_sign_in(client, db):
    assert client.get("/").url.startswith(reverse("account_login"))


def test_pages_are_kept_for_one_person_and_apart_from_their_regions(client_of, project, bob):
    for page in ("collaboration:people", "collaboration:activity", "characters:gallery"):
        answer = client_of(bob).get(reverse(page, args=[project.slug]))
        assert answer["Cache-Control"] == "private, no-cache"
        assert {"Cookie", "HX-Request"} <= set(answer["Vary"].split(", "))


def test_behind_a_proxy_attempts_to_sign_in_are_counted_by_the_visitor(client, db, settings):
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1
    settings.ACCOUNT_RATE_LIMITS = {"login": "1/m/ip"}
    data = {"login": "nobody@example.com", "password": "wrong"}
    statuses = [
        client.post("/accounts/login/", data, headers={"X-Forwarded-For": f"203.0.113.{visitor}"}).status_code
        for visitor in (1, 1, 2)
    ]
    assert statuses == [200, 429, 200]


def test_a_form_that_comes_from_elsewhere_is_refused_with_a_sentence(bob):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)
    answer = browser.post(reverse("collaboration:profile"), {"name": "Mallory"})
    assert answer.status_code == 403
    assert "<h1" in answer.text
    bob.refresh_from_db()
    assert bob.name == "Bob"


def test_a_message_worker_without_redis_says_what_to_do(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import config.messages"],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path), "DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Set REDIS_URL" in done.stderr
    assert "manage.py worker" in done.stderr
