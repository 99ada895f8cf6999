"""Which release of each EKS add-on a new environment gets, by its Kubernetes version.

What an environment was made with is kept with it; this table is for new ones only. These releases are
compatible by DescribeAddonVersions, as public stacks of 2026 pin them together.
"""

from collections.abc import Mapping

ADD_ONS: Mapping[str, Mapping[str, str]] = {
    "1.35": {
        "aws-ebs-csi-driver": "v1.59.0-eksbuild.1",
        "coredns": "v1.14.2-eksbuild.4",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "kube-proxy": "v1.35.3-eksbuild.5",
        "vpc-cni": "v1.21.1-eksbuild.8",
    },
}
