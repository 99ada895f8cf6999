"""Systems Manager's parameters: those of AWS's own that say which machine image EKS recommends."""

import re
from typing import Any

from beta9_simulator.cloud.eks_rules import VERSIONS
from beta9_simulator.cloud.node_rules import recommended_release
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request

# "Retrieve recommended Amazon Linux AMI IDs" in the EKS user guide.
_NAME = re.compile(
    r"/aws/service/eks/optimized-ami/([\d.]+)/amazon-linux-2023/x86_64/standard/recommended/release_version"
)


def _get_parameter(request: Request) -> dict[str, Any]:
    name = request.params["Name"]
    found = _NAME.fullmatch(name)
    if found is None or found[1] not in VERSIONS:
        raise CloudError("ParameterNotFound", "")
    return {
        "Parameter": {
            "Name": name,
            "Type": "String",
            "Value": recommended_release(found[1]),
            "Version": 1,
            "ARN": f"arn:aws:ssm:{request.region}::parameter{name}",
            "DataType": "text",
        }
    }


HANDLERS: dict[str, Handler] = {"GetParameter": _get_parameter}
