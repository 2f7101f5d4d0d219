# Workers: a launch template from which the scaling loop makes them, and a role that can do a worker's work and no more.

locals {
  worker_environment = merge(
    {
      FACE_REGION            = var.region
      FACE_BUCKET            = aws_s3_bucket.this.bucket
      FACE_REQUEST_QUEUE_URL = aws_sqs_queue.requests.url
    },
    var.workers.environment,
    var.host_environment,
  )
}

resource "aws_launch_template" "worker" {
  provider                             = aws.untagged
  name                                 = "${var.deployment}-worker"
  image_id                             = local.base_image # until Ansible has baked one
  instance_type                        = var.workers.type
  instance_initiated_shutdown_behavior = "terminate"
  update_default_version               = true
  ebs_optimized                        = true
  vpc_security_group_ids               = [aws_security_group.worker.id]
  user_data = base64encode(join("\n", concat(
    ["# settings of face-worker"],
    [for name, value in local.worker_environment : "${name}=${value}"],
    [""],
  )))

  iam_instance_profile {
    name = aws_iam_instance_profile.worker.name
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      encrypted             = true
      volume_type           = "gp3"
      volume_size           = var.workers.volume_gib
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.deployment}-worker", "face:role" = "worker" }
  }
  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "${var.deployment}-worker", "face:deployment" = var.deployment }
  }
  lifecycle {
    ignore_changes = [image_id, description] # of the versions that Ansible makes, with images that it has baked
  }
}

# Nobody connects to a worker, and a worker connects to AWS only. Public addresses: none, as its subnets give none.
resource "aws_security_group" "worker" {
  name        = "${var.deployment}-worker"
  description = "Workers"
  vpc_id      = local.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "worker_s3" {
  count             = local.own_network ? 1 : 0
  security_group_id = aws_security_group.worker.id
  prefix_list_id    = aws_vpc_endpoint.s3[0].prefix_list_id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "worker_endpoints" {
  count                        = local.own_network ? 1 : 0
  security_group_id            = aws_security_group.worker.id
  referenced_security_group_id = aws_security_group.endpoints[0].id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "worker" {
  count             = local.own_network ? 0 : 1
  security_group_id = aws_security_group.worker.id
  description       = "AWS, by whatever way the existing network has"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_iam_role" "worker" {
  name               = "${var.deployment}-worker"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_instance_profile" "worker" {
  name = "${var.deployment}-worker"
  role = aws_iam_role.worker.name
}

resource "aws_iam_role_policy" "worker" {
  name   = "worker"
  role   = aws_iam_role.worker.name
  policy = data.aws_iam_policy_document.worker.json
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "ListBucket"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this.arn]
  }
  statement {
    sid       = "ReadPhotos"
    actions   = ["s3:GetObject"]
    resources = [for prefix in ["images", "photos"] : "${aws_s3_bucket.this.arn}/${prefix}/*"]
  }
  statement {
    sid       = "KeepUnknownFaces"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/unknown/*"]
  }
  statement {
    sid       = "WriteResults"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/results/*"]
  }
  statement {
    sid       = "TellWhatWasMeasured"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${aws_s3_bucket.this.arn}/calibrations/*"]
  }
  statement {
    sid       = "UseGallery"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    resources = ["${aws_s3_bucket.this.arn}/gallery/*"]
  }
  statement {
    sid       = "Report"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.this.arn}/fleet/reports/*"]
  }
  statement {
    sid       = "ReceiveJobs"
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"]
    resources = [aws_sqs_queue.requests.arn]
  }
  statement {
    sid       = "SendAnswers"
    actions   = ["sqs:SendMessage"]
    resources = [for queue in aws_sqs_queue.responses : queue.arn]
  }
}
