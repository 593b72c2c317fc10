import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("characters", "0003_look_alikes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="variation",
            name="findings",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="variation",
            name="measured_at",
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.CreateModel(
            name="Measurement",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("score", models.FloatField(null=True)),
                ("cosine", models.FloatField(null=True)),
                ("no_score_reason", models.CharField(blank=True, max_length=200)),
                ("measured_against", models.JSONField(default=dict)),
                ("findings", models.JSONField(default=dict)),
                ("measured_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "asked_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "variation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="measurements",
                        to="characters.variation",
                    ),
                ),
            ],
            options={
                "ordering": ["-measured_at", "-id"],
                "indexes": [models.Index(fields=["variation", "-measured_at"], name="measurement_by_time")],
            },
        ),
    ]
