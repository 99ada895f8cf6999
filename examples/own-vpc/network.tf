# A VPC in which an environment can live: docs/own-network.md. Change it as you like, and keep what is said there.

terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "region" {
  type        = string
  default     = "us-east-1"
  description = "Region of the environment."
}

variable "cidr" {
  type        = string
  default     = "10.20.0.0/16"
  description = "Address range of the VPC, /16 to /18 for this division."
}

variable "zone_ids" {
  type        = list(string)
  default     = ["use1-az1", "use1-az2", "use1-az4"]
  description = "Two or three zones in which EKS makes control planes; in us-east-1 not use1-az3."
}

provider "aws" {
  region = var.region
}

locals {
  zones = { for index, id in var.zone_ids : id => index }
}

# Nodes do not find their cluster without both of the DNS attributes.
resource "aws_vpc" "main" {
  cidr_block           = var.cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = "own-vpc" }
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "own-vpc" }
}

# For the load balancer, and for NAT.
resource "aws_subnet" "public" {
  for_each             = local.zones
  vpc_id               = aws_vpc.main.id
  availability_zone_id = each.key
  cidr_block           = cidrsubnet(var.cidr, 8, 240 + each.value)
  tags                 = { Name = "own-vpc-public-${each.key}" }
}

# For nodes and pods, each of which takes an address.
resource "aws_subnet" "private" {
  for_each             = local.zones
  vpc_id               = aws_vpc.main.id
  availability_zone_id = each.key
  cidr_block           = cidrsubnet(var.cidr, 4, each.value)
  tags                 = { Name = "own-vpc-private-${each.key}" }
}

# For database and cache, without a way out.
resource "aws_subnet" "data" {
  for_each             = local.zones
  vpc_id               = aws_vpc.main.id
  availability_zone_id = each.key
  cidr_block           = cidrsubnet(var.cidr, 8, 248 + each.value)
  tags                 = { Name = "own-vpc-data-${each.key}" }
}

resource "aws_eip" "nat" {
  domain     = "vpc"
  tags       = { Name = "own-vpc-nat" }
  depends_on = [aws_internet_gateway.main]
}

resource "aws_nat_gateway" "main" {
  allocation_id = aws_eip.nat.allocation_id
  subnet_id     = aws_subnet.public[var.zone_ids[0]].id
  tags          = { Name = "own-vpc" }
  depends_on    = [aws_internet_gateway.main]
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "own-vpc-public" }
}

resource "aws_route" "public" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.main.id
}

resource "aws_route_table_association" "public" {
  for_each       = local.zones
  route_table_id = aws_route_table.public.id
  subnet_id      = aws_subnet.public[each.key].id
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = "own-vpc-private" }
}

resource "aws_route" "private" {
  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.main.id
}

resource "aws_route_table_association" "private" {
  for_each       = local.zones
  route_table_id = aws_route_table.private.id
  subnet_id      = aws_subnet.private[each.key].id
}

# Not needed: it keeps objects off the NAT gateway, which takes money for each GB.
resource "aws_vpc_endpoint" "s3" {
  vpc_id            = aws_vpc.main.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]
  tags              = { Name = "own-vpc-s3" }
}

output "vpc_id" {
  value = aws_vpc.main.id
}

output "private_subnet_ids" {
  value = [for id in var.zone_ids : aws_subnet.private[id].id]
}

output "public_subnet_ids" {
  value = [for id in var.zone_ids : aws_subnet.public[id].id]
}

output "data_subnet_ids" {
  value = [for id in var.zone_ids : aws_subnet.data[id].id]
}
