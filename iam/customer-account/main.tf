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
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+$", var.control_plane_principal))
    error_message = "It is arn:aws:iam::ACCOUNT:role/NAME, and ACCOUNT has twelve digits."
  }
}

variable "external_id" {
  type        = string
  description = "What the worker has to say to get in; of this customer alone."
  validation {
    condition     = can(regex("^[A-Za-z0-9_+=,.@:/-]+$", var.external_id)) && length(var.external_id) >= 8
    error_message = "It has at least 8 characters: letters, digits and _+=,.@:/-."
  }
}

variable "role_name" {
  type        = string
  default     = "Beta9Provisioner"
  description = "The service takes the name Beta9Provisioner only."
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
    condition     = can(regex("^(arn:aws:iam::(aws|[0-9]{12}):policy/[A-Za-z0-9_+=,.@/-]+)?$", var.boundary_of_roles))
    error_message = "It is arn:aws:iam::ACCOUNT:policy/NAME, and ACCOUNT has twelve digits."
  }
}

variable "bucket_prefix" {
  type        = string
  default     = "beta9"
  description = "What data.object_store.bucket_prefix says in environments' configurations."
  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,28}[a-z0-9]$", var.bucket_prefix))
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
    read    = "Beta9ProvisionerRead"
    create  = "Beta9ProvisionerCreate"
    operate = "Beta9ProvisionerOperate"
    destroy = "Beta9ProvisionerDestroy"
  }
  # Those whose policies are others where the roles that are made have a boundary.
  bounded = var.boundary_of_roles == "" ? [] : ["create"]
}

resource "aws_iam_policy" "of_phase" {
  for_each = local.policies

  name = each.value
  path = var.path
  policy = replace(
    replace(
      file("${path.module}/policies/${each.key}${contains(local.bounded, each.key) ? "-bounded" : ""}.json"),
      "arn:aws:s3:::beta9-*",
      "arn:aws:s3:::${var.bucket_prefix}-*",
    ),
    "BOUNDARY_OF_ROLES",
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
