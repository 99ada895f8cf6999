"""Synthesis of any cloud's stack, here or in the children that a `Synthesizer` starts.

`python -m beta9_provisioning.clouds.synthesis` is such a child: see `engine.synthesis.child`.
"""

from pathlib import Path

from beta9_provisioning.clouds.registry import CLOUDS, cloud_of
from beta9_provisioning.engine.synthesis import child
from beta9_provisioning.engine.synthesis.child import Request
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import synthesize as synthesize_stack
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer

_MODULE = "beta9_provisioning.clouds.synthesis"


def new_synthesizer() -> Synthesizer:
    """Return a synthesizer whose children know every cloud."""
    return Synthesizer(_MODULE)


def synthesize(subject: Subject, outdir: Path) -> Path:
    """Write the Terraform configuration of an environment below `outdir`; return the directory that holds it.

    The same input gives the same bytes. What Terraform keeps in that directory from an earlier run stays.

    Raises:
        NotSupported: the configuration asks for what cannot be built yet.
        SynthesisError: the infrastructure does not fit the provider's schema, or Node.js is missing.
    """
    cloud = cloud_of(subject.config.cloud)
    cloud.check_supported(subject.config)
    return synthesize_stack(outdir, lambda scope, id_: cloud.add_stack(scope, id_, subject))


def _serve(request: Request) -> Path:
    return synthesize(request.subject, request.outdir)


def _rehearse(outdir: Path) -> None:
    """Start Node.js by a synthesis that nobody wants: the next one takes a third as long."""
    cloud = next(iter(CLOUDS.values()))
    synthesize(cloud.sample(), outdir)


if __name__ == "__main__":
    child.main(_serve, _rehearse)
