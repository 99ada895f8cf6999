"""The stack of an environment again, with the prebuilt bindings `cdktn-provider-aws`.

    python -m benchmarks.prebuilt_stack DOCUMENT OUTDIR TIMES

Takes what the engine has synthesized (DOCUMENT, see `synthesis.for_bindings`), makes the same resources from
the prebuilt classes, synthesizes TIMES times in this process, and prints
`{"seconds": [...], "cdk_tf_json": PATH}`; the first time includes importing the bindings.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

from beta9_provisioning.engine.synthesis.synthesize import TARGET_VERSIONS, set_up_jsii

_META = ("depends_on",)


def synthesize(document: dict[str, Any], outdir: Path) -> Path:
    """Write the document's provider, backend, resources and outputs anew; return the path of the result."""
    from cdktn import App, S3Backend, TerraformOutput, TerraformStack  # noqa: PLC0415

    provider = import_module("cdktn_provider_aws.provider")
    app = App(outdir=str(outdir), stack_traces=False, context={"targetVersions": TARGET_VERSIONS})
    stack = TerraformStack(app, "environment")
    provider.AwsProvider(stack, "aws", **document["provider"])
    made: dict[str, Any] = {}
    for type_, bodies in document["resource"].items():
        make = _binding(type_)
        for name, body in bodies.items():
            resource = make(stack, f"{type_}.{name}", **_without(body, _META))
            resource.override_logical_id(name)
            made[f"{type_}.{name}"] = resource, body
    for resource, body in made.values():
        if "depends_on" in body:
            resource.depends_on = body["depends_on"]
    for name, body in document["output"].items():
        TerraformOutput(stack, name, value=body["value"], static_id=True)
    S3Backend(stack, use_lockfile=True, **document["backend"])
    app.synth()
    return outdir / "stacks" / "environment" / "cdk.tf.json"


def _binding(type_: str) -> Any:
    """Return the class of a resource type."""
    name = type_.removeprefix("aws_")
    module = import_module(f"cdktn_provider_aws.{name}")
    class_name = "".join(part.capitalize() for part in name.split("_"))
    # A class that would be named like one of its own blocks got an A.
    return getattr(module, class_name, None) or getattr(module, f"{class_name}A")


def _without(body: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in keys}


def main() -> None:
    """Run it from the command line."""
    document = json.loads(Path(sys.argv[1]).read_text())
    outdir, times = Path(sys.argv[2]), int(sys.argv[3])
    set_up_jsii()
    seconds = []
    for _ in range(times):
        began = time.monotonic()
        written = synthesize(document, outdir)
        seconds.append(time.monotonic() - began)
    print(json.dumps({"seconds": seconds, "cdk_tf_json": str(written)}))


if __name__ == "__main__":
    main()
