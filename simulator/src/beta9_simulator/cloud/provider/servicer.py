"""Answers Terraform's plugin protocol (version 6) from the simulated cloud."""

import json
import re
import threading
from typing import Any

from tf.gen import tfplugin_pb2 as pb
from tf.gen import tfplugin_pb2_grpc as rpc

from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.provider.credentials import ConfigurationError, resolve
from beta9_simulator.cloud.provider.operations import FailedError, Operations, Stopped, TimedOut
from beta9_simulator.cloud.provider.planning import ProviderDefaults, plan
from beta9_simulator.cloud.provider.schema import Block, Schema, schema_message
from beta9_simulator.cloud.provider.values import conform, decode, encode
from beta9_simulator.cloud.reading import read_back
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store, StoredObject

_FALLBACK_REGION = "us-east-1"
_MODELED = ("EKS", "IAM", "RDS", "S3", "ElastiCache", "Secrets Manager", "KMS", "CloudWatch Logs")
"""Services whose errors the Go SDK knows by type; those of the others are shown as ``api error``."""


class AwsProvider(rpc.ProviderServicer):  # type: ignore[misc]
    """The provider; one instance serves one plugin process, and is configured at most once."""

    def __init__(self, schema: Schema, store: Store) -> None:
        self._schema = schema
        self._store = store
        self._stopping = threading.Event()
        self._defaults = ProviderDefaults(_FALLBACK_REGION, {})
        self._operations: Operations | None = None

    def GetMetadata(self, _request: Any, _context: Any) -> Any:
        """Tell the resource types."""
        return pb.GetMetadata.Response(
            server_capabilities=_capabilities(),
            resources=[pb.GetMetadata.ResourceMetadata(type_name=type) for type in self._schema.resources],
        )

    def GetProviderSchema(self, _request: Any, _context: Any) -> Any:
        """Tell the schemas of the provider and of every resource type."""
        return pb.GetProviderSchema.Response(
            provider=schema_message(self._schema.provider),
            resource_schemas={
                type: schema_message(resource["block"], resource["version"])
                for type, resource in self._schema.resources.items()
            },
            server_capabilities=_capabilities(),
        )

    def GetFunctions(self, _request: Any, _context: Any) -> Any:
        """Tell the provider's functions: none."""
        return pb.GetFunctions.Response()

    def ValidateProviderConfig(self, _request: Any, _context: Any) -> Any:
        """Accept any configuration that fits the schema."""
        return pb.ValidateProviderConfig.Response()

    def ConfigureProvider(self, request: Any, _context: Any) -> Any:
        """Find out region, default tags and principal; refuse credentials as the genuine provider does."""
        config = decode(request.config) or {}
        try:
            principal = resolve(self._store, config)
        except ConfigurationError as error:
            return pb.ConfigureProvider.Response(diagnostics=[_error(error.summary, error.detail)])
        blocks = config.get("default_tags") or [{}]
        self._defaults = ProviderDefaults(
            config.get("region") or _FALLBACK_REGION, blocks[0].get("tags") or {}
        )
        self._operations = Operations(self._store, principal, self._defaults.region, self._stopping)
        return pb.ConfigureProvider.Response()

    def StopProvider(self, _request: Any, _context: Any) -> Any:
        """Make every operation that waits give up."""
        self._stopping.set()
        return pb.StopProvider.Response()

    def ValidateResourceConfig(self, request: Any, _context: Any) -> Any:
        """Check the values that AWS would refuse by their form (names, address ranges)."""
        config = decode(request.config) or {}
        diagnostics = []
        for key, pattern in catalog()[request.type_name].valid.items():
            value = config.get(key)
            text = f"{value:g}" if isinstance(value, int | float) else value
            if isinstance(text, str) and re.search(pattern, text) is None:
                detail = f"{text!r} is no valid {key}: it has to match {pattern}"
                diagnostics.append(_error(f"invalid value for {key}", detail, key))
        return pb.ValidateResourceConfig.Response(diagnostics=diagnostics)

    def UpgradeResourceState(self, request: Any, _context: Any) -> Any:
        """Fit a state that was saved earlier to the schema."""
        state = json.loads(request.raw_state.json)
        return pb.UpgradeResourceState.Response(
            upgraded_state=encode(conform(self._block(request.type_name), state))
        )

    def PlanResourceChange(self, request: Any, _context: Any) -> Any:
        """Work out what a resource will be."""
        proposed = decode(request.proposed_new_state)
        if proposed is None:
            return pb.PlanResourceChange.Response(
                planned_state=request.proposed_new_state, planned_private=request.prior_private
            )
        type = request.type_name
        planned, replaced = plan(
            catalog()[type], self._block(type), decode(request.prior_state), proposed, self._defaults
        )
        # The type system of the SDK the genuine provider is built on tells null and zero values apart no
        # better than we do; the flag makes Terraform as tolerant here as it is there.
        return pb.PlanResourceChange.Response(
            planned_state=encode(planned),
            requires_replace=[_path(key) for key in replaced],
            planned_private=request.prior_private,
            legacy_type_system=True,
        )

    def ApplyResourceChange(self, request: Any, _context: Any) -> Any:
        """Create, update or delete; an error leaves the state that is true in the cloud."""
        type, block = request.type_name, self._block(request.type_name)
        prior, planned = decode(request.prior_state), decode(request.planned_state)
        verb = "creating" if prior is None else "deleting" if planned is None else "updating"
        operations, config = self._configured(), decode(request.config) or {}
        state: dict[str, Any] | None
        try:
            if prior is None:
                state = operations.create(type, block, planned, config)
            elif planned is None:
                operations.delete(type, prior)
                state = None
            else:
                state = operations.update(type, block, prior, planned, config)
        except CloudError as error:
            return _applied(request.prior_state, request, _refusal(type, verb, prior or planned, error))
        except Stopped as stopped:
            summary = f"{verb} {_noun(type)} ({stopped.target.name or stopped.target.id})"
            diagnostic = _error(f"waiting for {summary}: context canceled", "")
            # An object whose creation was not waited for exists: Terraform keeps it as tainted.
            # What it was created with, such as skip_final_snapshot, stays known: deleting it needs that.
            if prior is not None:
                return _applied(request.prior_state, request, diagnostic)
            return _applied(encode(_left(block, planned, stopped.target)), request, diagnostic)
        except TimedOut as late:
            summary = f"waiting for {verb} {_noun(type)} ({late.target.name or late.target.id})"
            left = _left(block, planned, late.target)
            return _applied(encode(left), request, _error(f"{summary}: {late}", ""))
        except FailedError as failed:
            noun, name = _noun(type), failed.target.name or failed.target.id
            message = f"waiting for {noun} ({name}) {verb.removesuffix('ing')}e: unexpected state"
            detail = f"'CREATE_FAILED', wanted target 'ACTIVE'. last error: {failed}"
            left = _left(block, planned, failed.target)
            return _applied(encode(left), request, _error(f"{message} {detail}", ""))
        return _applied(encode(state), request)

    def ReadResource(self, request: Any, _context: Any) -> Any:
        """Show an object as it is, or that it is gone."""
        type, block = request.type_name, self._block(request.type_name)
        state = decode(request.current_state)
        try:
            found = self._configured().read(type, state)
        except CloudError as error:
            diagnostic = _refusal(type, "reading", state, error)
            return pb.ReadResource.Response(new_state=request.current_state, diagnostics=[diagnostic])
        return pb.ReadResource.Response(
            new_state=encode(None if found is None else conform(block, found)), private=request.private
        )

    def ImportResourceState(self, request: Any, _context: Any) -> Any:
        """Find an object by its import id."""
        type = request.type_name
        if type not in self._schema.resources:
            return pb.ImportResourceState.Response(diagnostics=[_error("Unknown resource type", type)])
        try:
            state = self._configured().import_one(type, request.id)
        except CloudError as error:
            return pb.ImportResourceState.Response(diagnostics=[_error(error.code, error.message)])
        imported = pb.ImportResourceState.ImportedResource(
            type_name=type, state=encode(conform(self._block(type), state))
        )
        return pb.ImportResourceState.Response(imported_resources=[imported])

    def _block(self, type: str) -> Block:
        block: Block = self._schema.resources[type]["block"]
        return block

    def _configured(self) -> Operations:
        if self._operations is None:
            raise RuntimeError("Terraform used the provider before configuring it")
        return self._operations


def _left(block: Block, planned: dict[str, Any], target: StoredObject) -> dict[str, Any]:
    """The state of an object that exists although its creation did not come to its end."""
    return conform(block, {**planned, **read_back(target, planned)})


def _capabilities() -> Any:
    return pb.ServerCapabilities(plan_destroy=False, get_provider_schema_optional=True)


def _path(attribute: str) -> Any:
    return pb.AttributePath(steps=[pb.AttributePath.Step(attribute_name=attribute)])


def _error(summary: str, detail: str, attribute: str = "") -> Any:
    path = _path(attribute) if attribute else None
    return pb.Diagnostic(severity=pb.Diagnostic.ERROR, summary=summary, detail=detail, attribute=path)


def _noun(type: str) -> str:
    entry = catalog()[type]
    return f"{entry.service} {entry.noun}"


def _refusal(type: str, verb: str, state: dict[str, Any], error: CloudError) -> Any:
    """The diagnostic of a refused request, in the genuine provider's form."""
    entry = catalog()[type]
    name = state.get(entry.name) if entry.name else None
    who = next((value for value in (name, state.get("id")) if isinstance(value, str)), "")
    prefix = "" if entry.service in _MODELED else "api error "
    operation = verb.removesuffix("ing").replace("creat", "create").replace("delet", "delete")
    request = f"{operation.title()}{entry.noun.replace(' ', '')}"
    summary = f"{verb} {entry.service} {entry.noun} ({who}): operation error {entry.service}: {request}, "
    return _error(f"{summary}https response error StatusCode: 400, {prefix}{error}", "")


def _applied(state: Any, request: Any, diagnostic: Any = None) -> Any:
    return pb.ApplyResourceChange.Response(
        new_state=state,
        private=request.planned_private,
        legacy_type_system=True,
        diagnostics=[diagnostic] if diagnostic is not None else [],
    )
