"""Writes dashboards/*.json: `make dashboards`. A test compares the files with what is built here."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from scripts.dashboards.api import api
from scripts.dashboards.overview import overview
from scripts.dashboards.worker import worker

PLACE = Path(__file__).resolve().parents[2] / "dashboards"
BUILDERS = {
    "provisioning-overview.json": overview,
    "api-performance.json": api,
    "worker-health.json": worker,
}


def written(builder: Dashboard) -> str:
    """The text of a dashboard's file."""
    built = builder.build()
    for number, panel in enumerate(built.panels or [], 1):
        panel.id_val = number  # by which links and screenshots name it
    return JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False).encode(built) + "\n"


def main() -> None:
    """Write the files."""
    for name, build in BUILDERS.items():
        (PLACE / name).write_text(written(build()))
        print(f"Wrote dashboards/{name}")


if __name__ == "__main__":
    main()
