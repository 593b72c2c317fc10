"""Fetch and authorise in one verb."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404

from collaboration.models import Project, StudioMembership, User
from collaboration.permissions import Verb, require
from gpu_worker import catalog
from gpu_worker.models import Job
from gpu_worker.queries import Report, latest_report

VERBS = {"reference": Verb.UPLOAD, "variation": Verb.GENERATE, "training": Verb.TRAIN}
"""First part of a job's kind -> what one must be allowed to do to start such a job, and so to stop it."""


def access_job(user: User, job_id: UUID, *, verb: Verb | None = Verb.SEE) -> Job:
    """Return the job with its project and who started it. `verb` None: the one that starting it takes.

    Raises Http404 to strangers, who must not learn that it exists, and PermissionDenied to members without the verb.
    """
    job = Job.objects.select_related("project__studio", "created_by").filter(pk=job_id).first()
    if job is None:
        raise Http404
    require(user, verb or VERBS.get(job.kind.partition(".")[0], Verb.GENERATE), job.project)
    return job


def access_report(user: User, pack: str, version: str) -> Report:
    """Return the evaluation of an installed pack, for everybody who works here. Raises Http404 to strangers, who are
    members of no project and of no studio, and where there is none."""
    works_here = user.is_superuser or (
        Project.objects.visible_to(user).exists() or StudioMembership.objects.filter(user=user).exists()
    )
    installed = catalog.installed().get(pack)
    if not works_here or installed is None or installed.version != version:
        raise Http404
    report = latest_report(installed)
    if report is None or not report.page.exists():
        raise Http404
    return report
