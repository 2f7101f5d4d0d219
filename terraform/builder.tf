# What the host needs on which Ansible bakes the workers' image; the host itself lives only as long as that takes.

resource "aws_security_group" "builder" {
  #checkov:skip=CKV2_AWS_5:Ansible launches the host that has it, and removes it again
  name        = "${var.deployment}-builder"
  description = "The host on which the image of workers is baked"
  vpc_id      = local.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "builder" {
  for_each          = toset(var.operator_cidrs)
  security_group_id = aws_security_group.builder.id
  description       = "Operators"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22
}

resource "aws_vpc_security_group_egress_rule" "builder" {
  for_each          = { https = 443, http = 80 }
  security_group_id = aws_security_group.builder.id
  description       = each.key == "https" ? "AWS" : "Debian packages"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = each.value
  to_port           = each.value
}

resource "aws_iam_role" "builder" {
  name               = "${var.deployment}-builder"
  assume_role_policy = data.aws_iam_policy_document.assumed_by["ec2"].json
}

resource "aws_iam_instance_profile" "builder" {
  name = "${var.deployment}-builder"
  role = aws_iam_role.builder.name
}

resource "aws_iam_role_policy_attachment" "builder_ssm" {
  count      = var.ssm_agent ? 1 : 0 # it reads every parameter of the account
  role       = aws_iam_role.builder.name
  policy_arn = "arn:${local.partition}:iam::aws:policy/AmazonSSMManagedInstanceCore"
}
