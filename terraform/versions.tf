terraform {
  required_version = ">= 1.10"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

provider "aws" {
  region = var.region
  default_tags {
    tags = { "face:deployment" = var.deployment }
  }
}

# For the launch template: LocalStack takes its own tags for tags of what it launches.
provider "aws" {
  alias  = "untagged"
  region = var.region
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  arn       = { for service in ["sqs", "ec2"] : service => "arn:${local.partition}:${service}:${var.region}:${local.account}" }
}
