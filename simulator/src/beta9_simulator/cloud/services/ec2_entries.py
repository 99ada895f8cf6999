"""EC2: instances, network interfaces, volumes and more, as the API shows them, and the deletes it offers."""

from typing import Any

from beta9_simulator.cloud import deleting
from beta9_simulator.cloud.controllers import VOLUME
from beta9_simulator.cloud.machines import INSTANCE, TERMINATED_SECONDS
from beta9_simulator.cloud.rules import INTERFACE, CloudError
from beta9_simulator.cloud.services.request import Handler, Request, tag_list, when
from beta9_simulator.cloud.store import StoredObject

State = dict[str, Any]


def network_interface(found: StoredObject, state: State) -> State:
    """Return an interface's entry."""
    entry: State = {
        "Description": state["description"],
        "VpcId": state["vpc_id"],
        "SubnetId": state["subnet_id"],
        "AvailabilityZone": state["availability_zone"],
        "Groups": [{"GroupId": id, "GroupName": id} for id in state["groups"]],
        "Status": state["status"],
        "OwnerId": found.account,
        "RequesterManaged": state["managed"] and not state["instance_id"],
        "InterfaceType": "interface",
        "TagSet": tag_list(found.tags),
    }
    if state["status"] == "in-use":
        attached = {"InstanceId": state["instance_id"]} if state["instance_id"] else {}
        entry["Attachment"] = {"AttachmentId": f"eni-attach-{found.id[4:]}", "Status": "attached", **attached}
    if state["public_ip"]:
        entry["Association"] = {"PublicIp": state["public_ip"]}
    return entry


def volume(found: StoredObject, state: State) -> State:
    """Return a volume's entry."""
    return {
        "Size": state["size"],
        "Encrypted": state["encrypted"],
        "VolumeType": "gp3",
        "State": "deleting" if found.status == "deleting" else "available",
        "CreateTime": when(found.created_at),
    }


def launch_template(found: StoredObject, state: State) -> State:
    """Return a launch template's entry."""
    return {"LaunchTemplateName": state["name"], "CreateTime": when(found.created_at)}


def flow_log(found: StoredObject, state: State) -> State:
    """Return a flow log's entry."""
    return {
        "ResourceId": state["vpc_id"] or state["subnet_id"] or state["eni_id"] or "",
        "FlowLogStatus": "ACTIVE",
        "CreationTime": when(found.created_at),
    }


def _describe_instances(request: Request) -> State:
    """Instances, and for an hour those that were terminated: they keep their tags."""
    within = request.store.lasting("terminated", TERMINATED_SECONDS)
    account = request.principal.account
    ended = request.store.gone(INSTANCE, account=account, region=request.region, within=within)
    wanted = request.params.get("InstanceIds") or []
    filters = request.params.get("Filters") or []
    reservations = [
        {
            "ReservationId": f"r-{one.id[2:]}",
            "OwnerId": one.account,
            "Instances": [{**_instance(one), "SecurityGroups": _groups_of(request, one.id)}],
        }
        for one in (*request.find(INSTANCE), *ended)
        if (not wanted or one.id in wanted) and all(_matches(one, each) for each in filters)
    ]
    return {"Reservations": reservations}


def _groups_of(request: Request, instance_id: str) -> list[State]:
    """The groups of an instance's interfaces."""
    found = {
        group
        for one in request.find(INTERFACE)
        if one.state["instance_id"] == instance_id
        for group in one.state["groups"]
    }
    return [{"GroupId": id, "GroupName": id} for id in sorted(found)]


def _instance(found: StoredObject) -> State:
    state = found.state
    words = {"gone": (48, "terminated"), "deleting": (32, "shutting-down")}
    code, name = words.get(found.status, (16, "running"))
    return {
        "InstanceId": found.id,
        "InstanceType": state["instance_type"],
        "PrivateDnsName": state["private_dns_name"],
        "SubnetId": state["subnet_id"],
        "State": {"Code": code, "Name": name},
        "LaunchTime": when(found.created_at),
        "Tags": tag_list(found.tags),
    }


def _matches(found: StoredObject, wanted: State) -> bool:
    name, values = wanted["Name"], wanted.get("Values") or []
    if name.startswith("tag:"):
        return found.tags.get(name.removeprefix("tag:")) in values
    if name == "tag-key":
        return bool(found.tags.keys() & set(values))
    if name == "instance-id":
        return found.id in values
    if name == "instance-state-name":
        return _instance(found)["State"]["Name"] in values
    raise CloudError("InvalidParameterValue", f"The filter '{name}' is invalid")


def _one(request: Request, type: str, id: str, code: str, noun: str) -> StoredObject:
    found = request.find(type, id=id)
    if not found:
        raise CloudError(code, f"The {noun} '{id}' does not exist")
    return found[0]


def _delete_network_interface(request: Request) -> State:
    id = request.params["NetworkInterfaceId"]
    found = _one(request, INTERFACE, id, "InvalidNetworkInterfaceID.NotFound", "networkInterface ID")
    if found.state["status"] != "available":
        raise CloudError("InvalidParameterValue", f"Network interface '{id}' is currently in use.")
    request.store.delete(found)
    return {}


def _delete_volume(request: Request) -> State:
    found = _one(request, VOLUME, request.params["VolumeId"], "InvalidVolume.NotFound", "volume")
    request.store.delete(found)
    return {}


def _delete_security_group(request: Request) -> State:
    id = request.params["GroupId"]
    found = _one(request, "aws_security_group", id, "InvalidGroup.NotFound", "security group")
    if found.name == "default":
        raise CloudError(
            "CannotDelete", f'the specified group: "{id}" name: "default" cannot be deleted by a user'
        )
    deleting.delete(request.store, found)
    return {"Return": True, "GroupId": id}


HANDLERS: dict[str, Handler] = {
    "DescribeInstances": _describe_instances,
    "DeleteNetworkInterface": _delete_network_interface,
    "DeleteVolume": _delete_volume,
    "DeleteSecurityGroup": _delete_security_group,
}
