from __future__ import annotations

import datetime
import uuid

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def idempotency_key() -> SafeString:
    """A hidden field by which a form that is sent twice is carried out once."""
    return format_html('<input type="hidden" name="idempotency_key" value="{}">', uuid.uuid4())


@register.filter
def as_day(date: datetime.date) -> str:
    """Today, Yesterday, or the date."""
    ago = (timezone.now().date() - date).days
    return {0: "Today", 1: "Yesterday"}.get(ago, f"{date:%A}, {date.day} {date:%B %Y}")
