# Web hosts: a stable address each, a response queue each, one role for all.

data "aws_ami" "debian" {
  count       = var.base_image == "" ? 1 : 0
  owners      = ["136693071363"] # Debian
  most_recent = true
  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

locals {
  client_cidrs = length(var.client_cidrs) > 0 ? var.client_cidrs : var.operator_cidrs
  ssm_agent    = "https://s3.${var.region}.amazonaws.com/amazon-ssm-${var.region}/latest/debian_amd64/amazon-ssm-agent.deb"
  first_boot = join("\n", concat(["#!/bin/sh"], !var.ssm_agent ? [] : [
    "curl --fail --silent --show-error --location --retry 5 --output /tmp/amazon-ssm-agent.deb ${local.ssm_agent}",
    "dpkg --install /tmp/amazon-ssm-agent.deb",
  ], [""]))
  base_image = var.base_image == "" ? data.aws_ami.debian[0].id : var.base_image
  key_name   = one(aws_key_pair.operator[*].key_name)
}

resource "aws_key_pair" "operator" {
  count      = var.ssh_public_key == "" ? 0 : 1
  key_name   = var.deployment
  public_key = var.ssh_public_key
}

resource "aws_instance" "web" {
  #checkov:skip=CKV_AWS_88:clients reach the web hosts on the internet
  #checkov:skip=CKV_AWS_126:metrics every five minutes do: the service has better ones of its own
  for_each                    = local.web_numbers
  ami                         = local.base_image
  instance_type               = var.web.type
  subnet_id                   = local.public_subnets[(tonumber(each.key) - 1) % length(local.public_subnets)]
  vpc_security_group_ids      = [aws_security_group.web.id]
  associate_public_ip_address = true
  iam_instance_profile        = aws_iam_instance_profile.web.name
  key_name                    = local.key_name
  ebs_optimized               = true
  disable_api_termination     = var.deletion_protection
  user_data                   = local.first_boot
  tags                        = { Name = "${var.deployment}-web-${each.key}", "face:role" = "web", "face:number" = each.key }

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    encrypted   = true
    volume_type = "gp3"
    volume_size = var.web.volume_gib
  }
  lifecycle {
    # A newer Debian comes by upgrades, and another operator's key by Ansible: neither is worth a new host.
    ignore_changes = [ami, associate_public_ip_address, key_name, user_data]
  }
}

resource "aws_eip" "web" {
  for_each = local.web_numbers
  domain   = "vpc"
  instance = aws_instance.web[each.key].id
  tags     = { Name = "${var.deployment}-web-${each.key}" }

  depends_on = [aws_route.internet]
}

resource "aws_route53_record" "web" {
  count   = var.dns == null ? 0 : 1
  zone_id = var.dns.zone_id
  name    = var.dns.name
  type    = "A"
  ttl     = 60
  records = [for address in aws_eip.web : address.public_ip]
}

resource "aws_security_group" "web" {
  name        = "${var.deployment}-web"
  description = "Web hosts"
  vpc_id      = local.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "web" {
  for_each = merge(
    { for pair in setproduct(local.client_cidrs, [80, 443]) : "${pair[1]} from ${pair[0]}" => { cidr = pair[0], port = pair[1] } },
    { for cidr in var.operator_cidrs : "22 from ${cidr}" => { cidr = cidr, port = 22 } },
  )
  security_group_id = aws_security_group.web.id
  description       = each.value.port == 22 ? "Operators" : "Clients"
  cidr_ipv4         = each.value.cidr
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
}

resource "aws_vpc_security_group_egress_rule" "web" {
  for_each          = { https = 443, http = 80 }
  security_group_id = aws_security_group.web.id
  description       = each.key == "https" ? "AWS" : "Debian packages"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_iam_role" "web" {
  name               = "${var.deployment}-web"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_instance_profile" "web" {
  name = "${var.deployment}-web"
  role = aws_iam_role.web.name
}

resource "aws_iam_role_policy_attachment" "web_ssm" {
  count      = var.ssm_agent ? 1 : 0 # it reads every parameter of the account
  role       = aws_iam_role.web.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_role_policy" "web" {
  name   = "web"
  role   = aws_iam_role.web.name
  policy = data.aws_iam_policy_document.web.json
}

resource "aws_iam_role_policy" "scaling" {
  name   = "scaling"
  role   = aws_iam_role.web.name
  policy = data.aws_iam_policy_document.scaling.json
}

locals {
  of_the_web_hosts = ["images", "photos", "results", "gallery", "calibrations", "people", "batches", "unknown", "webhooks", "dead-letters", "erasures", "idempotency", "access", "fleet"]
  of_people        = ["images", "photos", "results", "gallery", "calibrations", "people", "batches", "unknown", "webhooks", "dead-letters", "erasures", "inbox"]
}

data "aws_iam_policy_document" "web" {
  statement {
    sid       = "ListBucket"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [aws_s3_bucket.this.arn]
  }
  statement {
    sid       = "UseBucket"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = [for prefix in local.of_the_web_hosts : "${aws_s3_bucket.this.arn}/${prefix}/*"]
  }
  statement {
    sid       = "ReadWhatIsToBeImported"
    actions   = ["s3:GetObject", "s3:DeleteObject"] # deleted, where it shows a person who is erased
    resources = ["${aws_s3_bucket.this.arn}/inbox/*"]
  }
  statement {
    sid       = "EraseForGood"
    actions   = ["s3:DeleteObjectVersion"]
    resources = [for prefix in local.of_people : "${aws_s3_bucket.this.arn}/${prefix}/*"]
  }
  # Entries are added; nobody whom the service lets in replaces or removes one.
  statement {
    sid       = "ReadAudit"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this.arn}/audit/*"]
  }
  statement {
    sid       = "AddToAudit"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/audit/*"]
    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["false"]
    }
  }
  statement {
    sid       = "AskWhetherBucketIsThere"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this.arn}/readyz"]
  }
  statement {
    sid       = "SendJobs"
    actions   = ["sqs:SendMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.requests.arn]
  }
  statement {
    sid       = "ReceiveAnswersAndDeadLetters"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = concat([aws_sqs_queue.dead_letters.arn], [for queue in aws_sqs_queue.responses : queue.arn])
  }
  statement {
    sid       = "AnswerDeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [for queue in aws_sqs_queue.responses : queue.arn]
  }
}

# What the scaling loop may do: launch from this one template with this deployment's tags, and change only what it launched.
data "aws_iam_policy_document" "scaling" {
  statement {
    sid       = "See"
    actions   = ["ec2:DescribeInstances", "ec2:DescribeLaunchTemplates"]
    resources = ["*"]
  }
  statement {
    sid       = "LaunchTaggedInstances"
    actions   = ["ec2:RunInstances"]
    resources = ["${local.arn.ec2}:instance/*"]
    condition {
      test     = "ArnEquals"
      variable = "ec2:LaunchTemplate"
      values   = [aws_launch_template.worker.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/face:deployment"
      values   = [var.deployment]
    }
    condition {
      test     = "StringLike"
      variable = "aws:RequestTag/face:launch"
      values   = ["?*"]
    }
  }
  statement {
    sid     = "LaunchFromTemplate"
    actions = ["ec2:RunInstances"]
    resources = concat(
      [aws_launch_template.worker.arn, "${local.arn.ec2}:volume/*", "${local.arn.ec2}:network-interface/*"],
      ["${local.arn.ec2}:security-group/${aws_security_group.worker.id}"],
      [for subnet in local.private_subnets : "${local.arn.ec2}:subnet/${subnet}"],
    )
    condition {
      test     = "ArnEquals"
      variable = "ec2:LaunchTemplate"
      values   = [aws_launch_template.worker.arn]
    }
  }
  statement {
    sid       = "LaunchOwnImages"
    actions   = ["ec2:RunInstances"]
    resources = ["arn:${local.partition}:ec2:${var.region}::image/*"]
    condition {
      test     = "ArnEquals"
      variable = "ec2:LaunchTemplate"
      values   = [aws_launch_template.worker.arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/face:deployment"
      values   = [var.deployment]
    }
  }
  statement {
    sid       = "TagWhatIsLaunched"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.arn.ec2}:instance/*", "${local.arn.ec2}:volume/*"]
    condition {
      test     = "StringEquals"
      variable = "ec2:CreateAction"
      values   = ["RunInstances"]
    }
  }
  statement {
    sid       = "NoteStarts"
    actions   = ["ec2:CreateTags"]
    resources = ["${local.arn.ec2}:instance/*"]
    condition {
      test     = "ForAllValues:StringEquals"
      variable = "aws:TagKeys"
      values   = ["face:started"]
    }
    dynamic "condition" {
      for_each = { "face:deployment" = var.deployment, "face:launch" = "?*" }
      content {
        test     = "StringLike"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }
  statement {
    sid       = "ChangeWorkers"
    actions   = ["ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances"]
    resources = ["${local.arn.ec2}:instance/*"]
    dynamic "condition" {
      for_each = { "face:deployment" = var.deployment, "face:launch" = "?*" }
      content {
        test     = "StringLike"
        variable = "aws:ResourceTag/${condition.key}"
        values   = [condition.value]
      }
    }
  }
  statement {
    sid       = "GiveWorkersTheirRole"
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.worker.arn]
    condition {
      test     = "StringEquals"
      variable = "iam:PassedToService"
      values   = ["ec2.amazonaws.com"]
    }
  }
}
