# A network of our own: web hosts in public subnets, workers in private ones that reach S3 and SQS and nothing else.

data "aws_availability_zones" "available" {
  count = local.own_network ? 1 : 0
  state = "available"
  filter {
    name   = "opt-in-status" # no local zones
    values = ["opt-in-not-required"]
  }
}

locals {
  own_network     = var.existing_network == null
  zones           = local.own_network ? slice(data.aws_availability_zones.available[0].names, 0, var.availability_zones) : []
  vpc_id          = local.own_network ? aws_vpc.this[0].id : var.existing_network.vpc_id
  public_subnets  = local.own_network ? [for zone in local.zones : aws_subnet.public[zone].id] : var.existing_network.public_subnets
  private_subnets = local.own_network ? [for zone in local.zones : aws_subnet.private[zone].id] : var.existing_network.private_subnets
}

resource "aws_vpc" "this" {
  count                = local.own_network ? 1 : 0
  cidr_block           = var.network_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true
  tags                 = { Name = var.deployment }
}

resource "aws_default_security_group" "closed" {
  count  = local.own_network ? 1 : 0
  vpc_id = aws_vpc.this[0].id
}

resource "aws_subnet" "public" {
  for_each          = toset(local.zones)
  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.network_cidr, 4, index(local.zones, each.key))
  tags              = { Name = "${var.deployment}-public-${each.key}" }
}

resource "aws_subnet" "private" {
  for_each          = toset(local.zones)
  vpc_id            = aws_vpc.this[0].id
  availability_zone = each.key
  cidr_block        = cidrsubnet(var.network_cidr, 4, 8 + index(local.zones, each.key))
  tags              = { Name = "${var.deployment}-private-${each.key}" }
}

resource "aws_internet_gateway" "this" {
  count  = local.own_network ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = var.deployment }
}

resource "aws_route_table" "public" {
  count  = local.own_network ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.deployment}-public" }
}

resource "aws_route" "internet" {
  count                  = local.own_network ? 1 : 0
  route_table_id         = aws_route_table.public[0].id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this[0].id
}

resource "aws_route_table_association" "public" {
  for_each       = aws_subnet.public
  subnet_id      = each.value.id
  route_table_id = aws_route_table.public[0].id
}

resource "aws_route_table" "private" {
  count  = local.own_network ? 1 : 0
  vpc_id = aws_vpc.this[0].id
  tags   = { Name = "${var.deployment}-private" }
}

resource "aws_route_table_association" "private" {
  for_each       = aws_subnet.private
  subnet_id      = each.value.id
  route_table_id = aws_route_table.private[0].id
}

resource "aws_vpc_endpoint" "s3" {
  count             = local.own_network ? 1 : 0
  vpc_id            = aws_vpc.this[0].id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.public[0].id, aws_route_table.private[0].id]
  tags              = { Name = "${var.deployment}-s3" }
}

resource "aws_vpc_endpoint" "interface" {
  for_each            = local.own_network ? var.interface_endpoints : []
  vpc_id              = aws_vpc.this[0].id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = local.private_subnets
  security_group_ids  = [aws_security_group.endpoints[0].id]
  tags                = { Name = "${var.deployment}-${each.key}" }
}

resource "aws_security_group" "endpoints" {
  count       = local.own_network ? 1 : 0
  name        = "${var.deployment}-endpoints"
  description = "AWS services for hosts of the network"
  vpc_id      = aws_vpc.this[0].id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  count             = local.own_network ? 1 : 0
  security_group_id = aws_security_group.endpoints[0].id
  description       = "From the network"
  cidr_ipv4         = var.network_cidr
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_flow_log" "this" {
  count                    = local.own_network ? 1 : 0
  vpc_id                   = aws_vpc.this[0].id
  traffic_type             = "REJECT"
  log_destination          = aws_cloudwatch_log_group.network[0].arn
  iam_role_arn             = aws_iam_role.flow_log[0].arn
  max_aggregation_interval = 600
}

resource "aws_cloudwatch_log_group" "network" {
  count             = local.own_network ? 1 : 0
  name              = "/face/${var.deployment}/network"
  retention_in_days = var.log_days
}

resource "aws_iam_role" "flow_log" {
  count              = local.own_network ? 1 : 0
  name               = "${var.deployment}-flow-log"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["vpc-flow-logs"].json
}

resource "aws_iam_role_policy" "flow_log" {
  count  = local.own_network ? 1 : 0
  name   = "write"
  role   = aws_iam_role.flow_log[0].name
  policy = data.aws_iam_policy_document.flow_log[0].json
}

data "aws_iam_policy_document" "flow_log" {
  count = local.own_network ? 1 : 0
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${aws_cloudwatch_log_group.network[0].arn}:*"]
  }
}

data "aws_iam_policy_document" "assumed_by" {
  for_each = toset(["ec2", "vpc-flow-logs"])
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}
