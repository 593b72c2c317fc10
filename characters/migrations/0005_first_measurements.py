"""What was measured of variations so far is the first measurement of each."""

from typing import Any

from django.db import migrations, models


def keep_what_was_measured(apps: Any, schema_editor: Any) -> None:
    variation, measurement = apps.get_model("characters", "Variation"), apps.get_model("characters", "Measurement")
    variation.objects.update(measured_at=models.F("made_at"))
    rows = variation.objects.iterator(chunk_size=500)
    measurement.objects.bulk_create(
        (
            measurement(
                variation=row,
                score=row.score,
                cosine=row.cosine,
                no_score_reason=row.no_score_reason,
                measured_against=row.measured_against,
                measured_at=row.made_at,
            )
            for row in rows
        ),
        batch_size=500,
    )


class Migration(migrations.Migration):
    dependencies = [("characters", "0004_measurements")]

    operations = [migrations.RunPython(keep_what_was_measured, migrations.RunPython.noop)]
