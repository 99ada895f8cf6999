"""The kubeconfig of an EKS cluster for people: it asks this program for a token when it is used."""

import io

from ruamel.yaml import YAML

from beta9_provisioning.engine.kubernetes.access import EXEC_API, kubeconfig


def user_kubeconfig(
    *,
    cluster_name: str,
    endpoint: str,
    certificate_authority: str,
    region: str,
    role_arn: str,
    external_id: str | None = None,
) -> str:
    """Return a kubeconfig (YAML) for people: it holds no secret, and asks this program for a token when used.

    `certificate_authority` is PEM in base64. Leave `external_id` out to make the user add it.
    """
    arguments = ["token", "--cluster", cluster_name, "--region", region, "--role-arn", role_arn]
    if external_id is not None:
        arguments += ["--external-id", external_id]
    user: dict[str, object] = {
        "exec": {
            "apiVersion": EXEC_API,
            "command": "beta9-provisioning",
            "args": arguments,
            "interactiveMode": "Never",
            "provideClusterInfo": False,
            "installHint": "Install beta9-provisioning and put it on PATH, with AWS credentials at hand.",
        }
    }
    text = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.width = 4096  # a folded line would break a certificate
    yaml.dump(kubeconfig(cluster_name, endpoint, certificate_authority, user), text)
    return text.getvalue()
