"""What AWS demands of a configuration: the form of its account, and the role that the worker assumes."""

import re

ROLE_NAME = "Beta9Provisioner"
_ROLE_ARN = re.compile(r"^arn:aws(?:-[a-z]+)*:iam::(?P<account>\d{12}):role/(?P<name>[\w+=,.@/-]{1,512})$")


def account_fault(account_id: str) -> str | None:
    """Return what is wrong with an account's number, or None."""
    if re.fullmatch(r"\d{12}", account_id, re.ASCII):
        return None
    return 'must be twelve digits, such as "123456789012"'


def role_fault(role_arn: str, account_id: str) -> str | None:
    """Return what is wrong with the ARN of the role, which must be the account's; or None."""
    match = _ROLE_ARN.fullmatch(role_arn)
    expected = f"arn:aws:iam::{account_id}:role/{ROLE_NAME}"
    if match is None:
        return f"is not an IAM role ARN; expected {expected}"
    if match["name"].rsplit("/", 1)[-1] != ROLE_NAME:
        return f"must name the role {ROLE_NAME}; expected {expected}"
    if match["account"] != account_id:
        return f"is a role of account {match['account']}; expected {expected}"
    return None
