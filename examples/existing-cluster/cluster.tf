# A cluster of yours, into which examples/existing-cluster.yaml puts an environment: as small as it may be, with
# all that is checked there (docs/existing-cluster.md). The account, and whatever else is in it, stays yours.

terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  region = var.region
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "name" {
  type    = string
  default = "team"
}

variable "zone_ids" {
  type    = list(string)
  default = ["use1-az1", "use1-az2"]
}

variable "provisioner_role_arn" {
  description = "The role of docs/customer-account.md, cloud.role_arn of a configuration."
  type        = string
}

variable "deletion_protection" {
  description = "Keeps the cluster from being deleted; nobody but you lifts it."
  type        = bool
  default     = true
}

variable "api_from" {
  description = "Networks from which the Kubernetes API is reached: yours, and those of the service's workers."
  type        = list(string)
}

# The network: for each zone a subnet for load balancers, one for nodes and pods, one for stores and nothing else.

resource "aws_vpc" "main" {
  cidr_block           = "10.20.0.0/16"
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
}

resource "aws_subnet" "public" {
  count                = length(var.zone_ids)
  vpc_id               = aws_vpc.main.id
  availability_zone_id = var.zone_ids[count.index]
  cidr_block           = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  # By this tag the load balancer controller finds them.
  tags = { Name = "${var.name}-public-${count.index}", "kubernetes.io/role/elb" = "1" }
}

resource "aws_subnet" "private" {
  count                = length(var.zone_ids)
  vpc_id               = aws_vpc.main.id
  availability_zone_id = var.zone_ids[count.index]
  cidr_block           = cidrsubnet(aws_vpc.main.cidr_block, 4, count.index + 1)
  tags                 = { Name = "${var.name}-private-${count.index}" }
}

resource "aws_subnet" "data" {
  count                = length(var.zone_ids)
  vpc_id               = aws_vpc.main.id
  availability_zone_id = var.zone_ids[count.index]
  cidr_block           = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index + 8)
  tags                 = { Name = "${var.name}-data-${count.index}" }
}

resource "aws_eip" "nat" {
  domain = "vpc"
}

resource "aws_nat_gateway" "main" {
  allocation_id = aws_eip.nat.allocation_id
  subnet_id     = aws_subnet.public[0].id
  depends_on    = [aws_internet_gateway.main]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
}

resource "aws_route" "public" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route_table_association" "public" {
  count          = length(var.zone_ids)
  subnet_id      = aws_subnet.public[count.index].id
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id
}

resource "aws_route" "private" {
  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.main.id
}

resource "aws_route_table_association" "private" {
  count          = length(var.zone_ids)
  subnet_id      = aws_subnet.private[count.index].id
  route_table_id = aws_route_table.private.id
}

resource "aws_route_table" "data" {
  vpc_id = aws_vpc.main.id
}

resource "aws_route_table_association" "data" {
  count          = length(var.zone_ids)
  subnet_id      = aws_subnet.data[count.index].id
  route_table_id = aws_route_table.data.id
}

# Roles of the control plane, the nodes, and the controllers that call AWS.

locals {
  services = { cluster = "eks", node = "ec2" }
  policies = {
    AmazonEKSClusterPolicy             = "cluster"
    AmazonEKSWorkerNodePolicy          = "node"
    AmazonEKS_CNI_Policy               = "node"
    AmazonEC2ContainerRegistryPullOnly = "node"
  }
  controllers = {
    ebs-csi        = "ebs-csi-controller-sa"
    load-balancing = "aws-load-balancer-controller"
  }
}

resource "aws_iam_role" "service" {
  for_each = local.services
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "${each.value}.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "service" {
  for_each   = local.policies
  role       = aws_iam_role.service[each.value].name
  policy_arn = "arn:aws:iam::aws:policy/${each.key}"
}

resource "aws_iam_role" "controller" {
  for_each = local.controllers
  name     = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["sts:AssumeRole", "sts:TagSession"], Principal = { Service = "pods.eks.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy_attachment" "ebs_csi" {
  role       = aws_iam_role.controller["ebs-csi"].name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEBSCSIDriverPolicyV2"
}

resource "aws_iam_role_policy" "load_balancing" {
  name   = "load-balancing"
  role   = aws_iam_role.controller["load-balancing"].name
  policy = templatefile("${path.module}/load-balancing.json", { name = var.name })
}

# The cluster with its nodes and add-ons.

resource "aws_eks_cluster" "main" {
  name                          = var.name
  version                       = "1.35"
  role_arn                      = aws_iam_role.service["cluster"].arn
  bootstrap_self_managed_addons = false
  deletion_protection           = var.deletion_protection

  access_config {
    authentication_mode = "API"
  }

  vpc_config {
    subnet_ids              = aws_subnet.private[*].id
    endpoint_private_access = true
    public_access_cidrs     = var.api_from
  }

  depends_on = [aws_iam_role_policy_attachment.service]
}

# The service's role administrates the cluster.
resource "aws_eks_access_entry" "provisioner" {
  cluster_name  = aws_eks_cluster.main.name
  principal_arn = var.provisioner_role_arn
}

resource "aws_eks_access_policy_association" "provisioner" {
  cluster_name  = aws_eks_cluster.main.name
  principal_arn = aws_eks_access_entry.provisioner.principal_arn
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type = "cluster"
  }
}

resource "aws_eks_pod_identity_association" "controller" {
  for_each        = local.controllers
  cluster_name    = aws_eks_cluster.main.name
  namespace       = "kube-system"
  service_account = each.value
  role_arn        = aws_iam_role.controller[each.key].arn
}

resource "aws_eks_addon" "before_nodes" {
  for_each     = toset(["eks-pod-identity-agent", "kube-proxy"])
  cluster_name = aws_eks_cluster.main.name
  addon_name   = each.key
}

resource "aws_eks_addon" "network" {
  cluster_name = aws_eks_cluster.main.name
  addon_name   = "vpc-cni"
  # Without it network policies are written and not kept.
  configuration_values = jsonencode({ enableNetworkPolicy = "true" })
}

resource "aws_eks_node_group" "main" {
  cluster_name    = aws_eks_cluster.main.name
  node_group_name = "${var.name}-nodes"
  node_role_arn   = aws_iam_role.service["node"].arn
  subnet_ids      = aws_subnet.private[*].id
  instance_types  = ["m6i.xlarge"]

  scaling_config {
    min_size     = 2
    desired_size = 2
    max_size     = 4
  }

  depends_on = [
    aws_eks_addon.before_nodes,
    aws_eks_addon.network,
    aws_iam_role_policy_attachment.service,
    aws_route.private,
    aws_route_table_association.private,
  ]
}

resource "aws_eks_addon" "on_nodes" {
  for_each     = toset(["coredns", "aws-ebs-csi-driver"])
  cluster_name = aws_eks_cluster.main.name
  addon_name   = each.key
  depends_on   = [aws_eks_node_group.main, aws_eks_pod_identity_association.controller]
}

output "vpc_id" {
  value = aws_vpc.main.id
}

output "public_subnet_ids" {
  value = aws_subnet.public[*].id
}

output "data_subnet_ids" {
  value = aws_subnet.data[*].id
}
