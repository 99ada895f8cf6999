"""Thin bindings for CDK Terrain: any resource type of the provider, checked against its schema.

CDK Terrain (`cdktn`) keeps the tree: unique addresses, provider presence, target versions, backend, manifest.
The bodies of the blocks are ours (`blocks`) and go into its output at the end (`Stack.synthesize`): its own
resolver gives a meaning to some strings, such as `${TfToken[...]}`, exponents, and keys of maps.

Importing this module starts the Node.js process that CDK Terrain runs on; `synthesis` decides which one.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdktn import (
    App,
    TerraformOutput,
    TerraformProvider,
    TerraformProviderGeneratorMetadata,
    TerraformResource,
    TerraformStack,
)
from constructs import Construct

from beta9_provisioning.engine.errors import SynthesisError
from beta9_provisioning.engine.synthesis.blocks import (
    Place,
    Ref,
    Value,
    closest,
    literal,
    render_block,
    render_reference,
    type_at,
)
from beta9_provisioning.engine.synthesis.providers import ProviderSchema

_RESOURCE_NAME = re.compile(r"[a-z][a-z0-9_]*")


class Stack(TerraformStack):
    """A Terraform stack of one provider, in which the blocks below register their bodies."""

    def __init__(self, scope: Construct, id_: str, schema: ProviderSchema) -> None:
        super().__init__(scope, id_)
        self.schema = schema
        self.provider_name = schema.source.rsplit("/", 1)[-1]
        self._bodies: dict[tuple[str, ...], dict[str, Any]] = {}

    def place(self, block_type: str) -> Place:
        """Return the place, for errors, of a block of this stack."""
        return Place(block_type, f"{self.schema.source} {self.schema.version}")

    def register(self, path: tuple[str, ...], body: dict[str, Any]) -> None:
        """Remember the body of the block at a path of the Terraform document."""
        self._bodies[path] = body

    def synthesize(self, outdir: Path) -> Path:
        """Write the stack below `outdir`, that of its app; return the directory that holds `cdk.tf.json`.

        Raises the errors of jsii (`JSIIError`, `RuntimeError`) when CDK Terrain finds something wrong.
        """
        App.of(self).synth()
        file = outdir / "stacks" / self.node.id / "cdk.tf.json"
        document = json.loads(file.read_text(encoding="utf-8"))
        for path, body in self._bodies.items():
            block = document
            for key in path:
                block = block[key]
            # A provider is a list of configurations, of which there is one here.
            (block[0] if isinstance(block, list) else block).update(body)
        complete = file.with_suffix(".tmp")
        complete.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        complete.replace(file)
        return file.parent


class Provider(TerraformProvider):
    """The configuration of the stack's provider, pinned to the version that its schema was taken from."""

    def __init__(self, stack: Stack, /, **attributes: Value) -> None:
        name = stack.provider_name
        body = render_block(stack.place(f"provider {name}"), stack.schema.provider, attributes)
        stack.register(("provider", name), body)
        super().__init__(
            stack,
            f"provider.{name}",
            terraform_resource_type=name,
            terraform_provider_source=stack.schema.source,
            terraform_generator_metadata=TerraformProviderGeneratorMetadata(
                provider_name=name, provider_version=stack.schema.version
            ),
        )


@dataclass(frozen=True)
class Lifecycle:
    """How Terraform replaces and compares a resource.

    Attributes:
        create_before_destroy: make the new one first; the names of the two must differ then.
        ignore_changes: attributes that others change, with paths as in `blocks.type_at`.
    """

    create_before_destroy: bool = False
    ignore_changes: tuple[str, ...] = ()


class Resource(TerraformResource):
    """A resource at the address `type.name`.

    Raises `SynthesisError` for an unknown type, and for a body that does not fit the type's schema.
    """

    def __init__(
        self,
        stack: Stack,
        type_: str,
        name_: str,
        /,
        *,
        depends_on: Iterable["Resource"] = (),
        lifecycle: Lifecycle | None = None,
        **attributes: Value,
    ) -> None:
        self._place = stack.place(type_)
        if type_ not in stack.schema.resources:
            raise self._place.inside(name_).error(
                "has an unknown type", closest(type_, stack.schema.resources)
            )
        if not _RESOURCE_NAME.fullmatch(name_):
            raise SynthesisError(
                f"{name_!r} cannot name a {type_}: use a-z, 0-9 and _, starting with a letter."
            )
        self._block = stack.schema.resources[type_]["block"]
        self.address = f"{type_}.{name_}"
        body = render_block(self._place, self._block, attributes)
        if addresses := sorted(resource.address for resource in depends_on):
            body["depends_on"] = addresses
        if lifecycle is not None:
            body["lifecycle"] = self._lifecycle(lifecycle)
        stack.register(("resource", type_, name_), body)
        super().__init__(
            stack,
            self.address,
            terraform_resource_type=type_,
            terraform_generator_metadata=TerraformProviderGeneratorMetadata(
                provider_name=stack.provider_name
            ),
        )
        self.override_logical_id(name_)

    def _lifecycle(self, lifecycle: Lifecycle) -> dict[str, Any]:
        for path in lifecycle.ignore_changes:
            type_at(self._place, self._block, path)
        return {
            "create_before_destroy": lifecycle.create_before_destroy,
            "ignore_changes": list(lifecycle.ignore_changes),
        }

    def ref(self, path: str) -> Ref:
        """Return a reference to an attribute of this resource, with a path as in `blocks.type_at`.

        Raises `SynthesisError` when a resource of this type has no such attribute.
        """
        return Ref(f"{self.address}.{path}", type_at(self._place, self._block, path))


class Output(TerraformOutput):
    """An output of the stack."""

    def __init__(self, stack: Stack, name_: str, value: str | Ref, /) -> None:
        rendered = render_reference(value) if isinstance(value, Ref) else literal(value)
        stack.register(("output", name_), {"value": rendered})
        super().__init__(stack, name_, value="", static_id=True)
