from __future__ import annotations

import uuid

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


@register.simple_tag
def idempotency_key() -> SafeString:
    """A hidden field by which a form that is sent twice is carried out once."""
    return format_html('<input type="hidden" name="idempotency_key" value="{}">', uuid.uuid4())
