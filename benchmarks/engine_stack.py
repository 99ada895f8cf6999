"""The engine's synthesis, several times in one process.

    python -m benchmarks.engine_stack CONFIG OUTDIR TIMES

CONFIG is an environment's configuration in JSON. Prints `{"seconds": [...], "cdk_tf_json": PATH}`; the first
time includes importing CDK Terrain.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from beta9_provisioning.clouds.aws.choices import Choices, Zone
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.schemas.configuration import EnvironmentConfig

ENVIRONMENT_ID = "env_b0b1b2b3b4b5b6b7"


def subject(config: EnvironmentConfig) -> Subject:
    """Return what to synthesize of a configuration, of which nothing is applied."""
    cloud = config.cloud
    zones = tuple(Zone(name=cloud.region + letter) for letter in "abc")
    place = {"bucket": "bucket", "key": "key", "region": cloud.region, "path_style": True}
    role = {"role_arn": cloud.role_arn, "external_id": cloud.external_id, "session_name": "benchmark"}
    choices = Choices.first(config, zones).model_dump(mode="json")
    return Subject(config, ENVIRONMENT_ID, choices, Backend(place | role))


def main() -> None:
    """Run it from the command line."""
    config = EnvironmentConfig.model_validate_json(Path(sys.argv[1]).read_text())
    outdir, times = Path(sys.argv[2]), int(sys.argv[3])
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        directory = synthesize(subject(config), outdir)
        seconds.append(time.monotonic() - began)
    print(json.dumps({"seconds": seconds, "cdk_tf_json": str(directory / "cdk.tf.json")}))


if __name__ == "__main__":
    main()
