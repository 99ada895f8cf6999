"""The simulated cloud's AWS API door: HTTP for boto3 and Terraform's S3 backend, by endpoint URL.

What hangs on the store is answered from it; the contents of S3, and what little else is asked of IAM, KMS and
Secrets Manager, come from moto in this same process, in the caller's account. Every request has to be
signed with a key this cloud knows, but the one that asks whether this is the simulator, and the one that
shows a token instead.
"""

import io
import json
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from moto.core.request import Request as HttpRequest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from beta9_simulator.cloud import sigv4
from beta9_simulator.cloud.authorization import call_needs
from beta9_simulator.cloud.authorization.gate import Gate
from beta9_simulator.cloud.iam.evaluation import Asked
from beta9_simulator.cloud.principals import Principal, authenticate
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services import (
    balancers,
    databases,
    ec2,
    eks,
    groups,
    identity,
    identity_policies,
    identity_providers,
    keys,
    logs,
    parameters,
    secrets,
    simulating,
    stacks,
    sts,
    tagging,
    validation,
    wire,
)
from beta9_simulator.cloud.services.buckets import Buckets, check_name
from beta9_simulator.cloud.services.request import Handler, Request
from beta9_simulator.cloud.store import API_URL, Store
from beta9_simulator.handle import ABOUT, CHARTS
from beta9_simulator.listening import LOOPBACK, Listening

_STOP_POLL_SECONDS = 0.1
_HANDLERS: dict[str, dict[str, Handler]] = {
    "sts": sts.HANDLERS,
    "eks": eks.HANDLERS,
    "ec2": ec2.HANDLERS,
    "rds": databases.RDS | groups.RDS,
    "elasticache": databases.ELASTICACHE | groups.ELASTICACHE,
    "elb": balancers.CLASSIC,
    "elbv2": balancers.V2,
    "logs": logs.HANDLERS,
    "kms": keys.HANDLERS,
    "ssm": parameters.HANDLERS,
    "tagging": tagging.HANDLERS,
    "iam": identity.ROLES | identity_policies.POLICIES | identity_providers.PROVIDERS | simulating.SIMULATION,
    "secretsmanager": secrets.HANDLERS,
    "cloudformation": stacks.HANDLERS,
}
_NO_REGION = "us-east-1"
"""Region of requests whose signature names none, for they have none."""
_MOTO = ("s3", "iam", "kms", "secretsmanager")
"""Services of which moto may answer what the store does not know."""


class _QuietHandler(MotoRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write no access log; failures of the door itself are still logged."""


class AwsApi:
    """The running API door: ``url`` is its endpoint, ``stop`` ends it."""

    def __init__(self, store_path: Path, port: int, at: Listening) -> None:
        self._door = _Door(Store(store_path))
        self._server = make_server(at.address, port, self._door, threaded=True, request_handler=_QuietHandler)
        self.url = f"http://{at.name}:{self._server.port}"
        self._door.store.set_setting(API_URL, self.url)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_STOP_POLL_SECONDS,), name="aws-api", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, and wait until that is done."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(store_path: Path, port: int = 0, *, at: Listening = LOOPBACK) -> AwsApi:
    """Start the API door in a thread of this process; port 0 takes a free one.

    One door per process: moto's memory is the process's own. Raises ``OSError`` when the port is taken.
    """
    return AwsApi(store_path, port, at)


class _Door:
    """The WSGI application."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._buckets = Buckets(store)
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ["PATH_INFO"] == ABOUT:
            about = {"simulator": "beta9", "charts": str(CHARTS)}
            return Response(json.dumps(about), content_type="application/json")(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        message = sigv4.Message(
            environ["REQUEST_METHOD"],
            environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"],
            _headers(environ),
            body,
        )
        signature = sigv4.read_signature(message)
        service, region = (signature.service, signature.region) if signature else ("sts", _NO_REGION)
        http = HttpRequest(environ)
        try:
            principal = self._authenticated(signature, message, http)
        except CloudError as error:
            return wire.refusal(service, error)(environ, start_response)
        service = wire.service_of(service, http)
        refused = self._refused(service) or self._denied(service, region, principal, http)
        if refused is not None:
            return refused(environ, start_response)
        response = self._answer(service, region, principal, http)
        if response is not None:
            return response(environ, start_response)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["HTTP_X_MOTO_ACCOUNT_ID"] = principal.account
        if service != "s3":
            return self._moto(environ, start_response)  # type: ignore[no-any-return]
        return self._answer_s3(environ, start_response, principal)

    def _refused(self, service: str) -> Response | None:
        """Refuse, or fail, every request to a service for as long as the setting ``refuses:<service>`` says.

        It holds a status, a code and a time in Unix seconds: ``503 SlowDown 1764327600.5``.
        """
        told = self.store.setting(f"refuses:{service}")
        if not told:
            return None
        status, code, until = told.split()
        if time.time() >= float(until):
            return None
        response = wire.refusal(service, CloudError(code, "Please reduce your request rate, or try again."))
        response.status_code = int(status)
        return response

    def _authenticated(
        self, signature: sigv4.Signature | None, message: sigv4.Message, http: HttpRequest
    ) -> Principal:
        if signature is None:
            if http.values.get("Action") in sts.UNSIGNED:
                return sts.ANYBODY
            raise CloudError("MissingAuthenticationToken", "Request is missing Authentication Token")
        principal = authenticate(self.store, signature.access_key, signature.session_token)
        if not sigv4.is_valid(signature, message, principal.secret_key):
            raise CloudError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. "
                "Check your AWS Secret Access Key and signing method.",
            )
        return principal

    def _denied(self, service: str, region: str, principal: Principal, http: HttpRequest) -> Response | None:
        """Refuse what the caller's policies do not allow; what no service knows is for others to refuse."""
        if service not in wire.MODELS:
            return None

        def needs() -> list[Asked]:
            call = wire.named(service, http)
            if call is None:
                return []
            return call_needs.needs(self.store, call_needs.Called(service, *call, principal.account, region))

        try:
            Gate(self.store, principal).ask(needs, region)
        except CloudError as error:
            return wire.refusal(service, error)
        return None

    def _answer(self, service: str, region: str, principal: Principal, http: HttpRequest) -> Response | None:
        """Answer from the store, or return None when moto has to."""
        if service == "s3":
            return None
        if service not in wire.MODELS:
            unknown = CloudError("UnknownService", f"The simulated cloud has no service {service!r}")
            return wire.refusal(service, unknown)
        call = wire.understand(service, http)
        handler = _HANDLERS.get(service, {}).get(call.action) if call else None
        if call is not None and handler is not None:
            try:
                validation.check(call)
                result = handler(Request(self.store, principal, region, call.params))
            except CloudError as error:
                return wire.refusal(service, error, call)
            if result is not None:
                return wire.answer(call, result)
        if service in _MOTO:
            return None
        action = call.action if call else "this request"
        unsupported = CloudError(
            "UnsupportedOperation", f"The simulated cloud does not answer {service}:{action}"
        )
        return wire.refusal(service, unsupported, call)

    def _answer_s3(
        self, environ: dict[str, Any], start_response: Any, principal: Principal
    ) -> Iterable[bytes]:
        bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
        method, query = environ["REQUEST_METHOD"], environ.get("QUERY_STRING", "")
        self._buckets.take_over()
        creates = method == "PUT" and not key and not query
        if bucket:
            try:
                if creates:
                    check_name(bucket)
                else:
                    owner = environ.get("HTTP_X_AMZ_EXPECTED_BUCKET_OWNER", "")
                    self._buckets.check_owner(bucket, principal, owner)
            except CloudError as error:
                return wire.refusal("s3", error)(environ, start_response)
        answer = list(self._moto(environ, start_response))
        if bucket and method not in ("GET", "HEAD"):
            self._buckets.give_back(bucket, principal)
        return answer


def _headers(environ: dict[str, Any]) -> dict[str, str]:
    headers = {
        key.removeprefix("HTTP_").replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    }
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if key in environ:
            headers[key.replace("_", "-").lower()] = str(environ[key])
    return headers
