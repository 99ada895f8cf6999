"""EKS Pod Identity: which service account's pods get which role."""

from collections.abc import Sequence

from beta9_provisioning.clouds.aws.stack.draft import Draft
from beta9_provisioning.engine.synthesis.bindings import Resource


def associate(
    draft: Draft,
    cluster: Resource,
    key: str,
    role: Resource,
    *,
    namespace: str,
    service_account: str,
    depends_on: Sequence[Resource] = (),
) -> Resource:
    """Hand a role to the pods of a service account that start from now on."""
    return Resource(
        draft.stack,
        "aws_eks_pod_identity_association",
        key,
        cluster_name=cluster.ref("name"),
        namespace=namespace,
        service_account=service_account,
        role_arn=role.ref("arn"),
        depends_on=depends_on,
    )
