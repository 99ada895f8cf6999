"""The Terraform module of the role: it reads the policies' files beside it."""

from scripts.customer_account import page, trust

from beta9_provisioning.clouds.aws import permissions

_MODULE = """\
# Written by `python -m scripts.render_permissions` from src/beta9_provisioning/clouds/aws/permissions.toml.
# The role as which Beta9 Provisioning works in this account, and its policies, which are in policies/.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "control_plane_principal" {
  type        = string
  description = "ARN of the role of the control plane's worker."
  validation {
    condition     = can(regex("^$PRINCIPAL$", var.control_plane_principal))
    error_message = "It is arn:aws:iam::ACCOUNT:role/NAME, and ACCOUNT has twelve digits."
  }
}

variable "external_id" {
  type        = string
  description = "What the worker has to say to get in; of this customer alone."
  validation {
    condition     = can(regex("^$EXTERNAL_ID$", var.external_id)) && length(var.external_id) >= $SHORTEST
    error_message = "It has at least $SHORTEST characters: letters, digits and _+=,.@:/-."
  }
}

variable "role_name" {
  type        = string
  default     = "$ROLE_NAME"
  description = "The service takes the name $ROLE_NAME only."
  validation {
    condition     = !startswith(var.role_name, "beta9-")
    error_message = "It may not begin with beta9-: the role may change such roles."
  }
}

variable "path" {
  type        = string
  default     = "/"
  description = "IAM path of role and policies; no part of it may begin with beta9-."
  validation {
    condition     = can(regex("^/([!-.0-~]+/)*$", var.path)) && length(split("/beta9-", var.path)) == 1
    error_message = "It begins and ends with /, and no part of it with beta9-: the role may change roles in such paths."
  }
}

variable "permissions_boundary" {
  type        = string
  default     = ""
  description = "ARN of the policy that bounds the role, or nothing."
}

variable "boundary_of_roles" {
  type        = string
  default     = ""
  description = "ARN of the policy that bounds the roles it makes, or nothing."
  validation {
    condition     = can(regex("^$BOUNDARY$", var.boundary_of_roles))
    error_message = "It is arn:aws:iam::ACCOUNT:policy/NAME, and ACCOUNT has twelve digits."
  }
}

variable "bucket_prefix" {
  type        = string
  default     = "$BUCKET_PREFIX"
  description = "What data.object_store.bucket_prefix says in environments' configurations."
  validation {
    condition     = can(regex("^$PREFIX$", var.bucket_prefix))
    error_message = "It has 3 to 30 lower-case letters, digits and hyphens."
  }
}

variable "max_session_duration" {
  type        = number
  default     = 3600
  description = "Seconds; the worker takes an hour."
}

locals {
  policies = {
$POLICIES
  }
  # Those whose policies are others where the roles that are made have a boundary.
  bounded = var.boundary_of_roles == "" ? [] : [$BOUNDED]
}

resource "aws_iam_policy" "of_phase" {
  for_each = local.policies

  name = each.value
  path = var.path
  policy = replace(
    replace(
      file("${path.module}/policies/${each.key}${contains(local.bounded, each.key) ? "-bounded" : ""}.json"),
      "arn:aws:s3:::$BUCKET_PREFIX-*",
      "arn:aws:s3:::${var.bucket_prefix}-*",
    ),
    "$BOUNDARY_OF_ROLES",
    var.boundary_of_roles,
  )
}

resource "aws_iam_role" "provisioner" {
  name                 = var.role_name
  path                 = var.path
  description          = "Beta9 Provisioning works in this account as this role."
  max_session_duration = var.max_session_duration
  permissions_boundary = var.permissions_boundary == "" ? null : var.permissions_boundary
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { AWS = var.control_plane_principal }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
      },
      {
        Effect    = "Allow"
        Principal = { AWS = var.control_plane_principal }
        Action    = "sts:TagSession"
      },
    ]
  })
}

resource "aws_iam_role_policy_attachment" "of_phase" {
  for_each = local.policies

  role       = aws_iam_role.provisioner.name
  policy_arn = aws_iam_policy.of_phase[each.key].arn
}

output "role_arn" {
  description = "What cloud.role_arn says in an environment's configuration."
  value       = aws_iam_role.provisioner.arn
}
"""


def module() -> str:
    """Return `main.tf`."""
    phases = list(permissions.phases())
    width = max(map(len, phases))
    policies = [f'    {phase:{width}} = "{permissions.policy_name(phase)}"' for phase in phases]
    values = {
        "$PRINCIPAL": trust.PRINCIPAL,
        "$EXTERNAL_ID": trust.EXTERNAL_ID,
        "$SHORTEST": str(trust.SHORTEST),
        "$ROLE_NAME": trust.ROLE_NAME,
        "$BUCKET_PREFIX": permissions.BUCKET_PREFIX,
        "$BOUNDARY_OF_ROLES": page.BOUNDARY_OF_ROLES,
        "$BOUNDARY": trust.BOUNDARY,
        "$BOUNDED": ", ".join(f'"{phase}"' for phase in permissions.bounded_phases()),
        "$PREFIX": trust.BUCKET_PREFIX,
        "$POLICIES": "\n".join(policies),
    }
    text = _MODULE
    for name, value in values.items():
        text = text.replace(name, value)
    return text
