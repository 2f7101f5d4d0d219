# What a plan holds, without an account: the provider is mocked.

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-central-1a", "eu-central-1b", "eu-central-1c"] }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\":\"2012-10-17\",\"Statement\":[]}" }
  }
  mock_data "aws_ami" {
    defaults = { id = "ami-0123456789abcdef0" }
  }
}

mock_provider "aws" {
  alias = "untagged"
}

variables {
  region = "eu-central-1"
}

run "usual" {
  command = plan

  assert {
    condition     = aws_s3_bucket.this.bucket == "face-photos-123456789012"
    error_message = "The bucket's usual name holds the account, as bucket names are the world's."
  }
  assert {
    condition     = length(aws_sqs_queue.responses) == 1 && aws_sqs_queue.responses["1"].name == "face-responses-1"
    error_message = "One response queue a web host."
  }
  assert {
    condition     = length(aws_subnet.public) == 2 && length(aws_subnet.private) == 2
    error_message = "A public and a private subnet in each zone."
  }
  assert {
    condition     = alltrue([for subnet in aws_subnet.private : subnet.map_public_ip_on_launch != true])
    error_message = "Workers get no public address."
  }
  assert {
    condition = (
      aws_launch_template.worker.metadata_options[0].http_tokens == "required" &&
      aws_launch_template.worker.metadata_options[0].http_put_response_hop_limit == 1 &&
      aws_launch_template.worker.block_device_mappings[0].ebs[0].encrypted == "true" &&
      aws_launch_template.worker.instance_initiated_shutdown_behavior == "terminate"
    )
    error_message = "Workers: IMDSv2 from the host itself only, encrypted volumes, gone when they shut themselves down."
  }
  assert {
    condition     = length(aws_vpc_security_group_ingress_rule.builder) == 0 && alltrue([for rule in aws_vpc_security_group_ingress_rule.web : rule.from_port != 22])
    error_message = "SSH is open to nobody unless operators' addresses are given."
  }
  assert {
    condition     = aws_instance.web["1"].disable_api_termination && !aws_s3_bucket.this.force_destroy
    error_message = "Web hosts and photos are protected."
  }
  assert {
    condition     = length(aws_sns_topic.alarms) == 0 && length(aws_route53_record.web) == 0 && length(aws_key_pair.operator) == 0
    error_message = "What was not asked for is not made."
  }
}

run "what_is_kept" {
  command = plan
  variables {
    retention_days = { photos = 3, enrolled_photos = 400, receipts = 0 }
  }
  assert {
    condition     = local.expiring["images/"] == 3 && local.expiring["photos/"] == 400 && local.expiring["results/"] == 30
    error_message = "Each kind of thing has its own time."
  }
  assert {
    condition     = !contains(keys(local.expiring), "erasures/") && !contains(keys(local.expiring), "audit/entries/") && !contains(keys(local.expiring), "people/")
    error_message = "What has no end is kept."
  }
  assert {
    condition     = alltrue([for prefix, days in local.forgetting : days == 1 || prefix == "gallery/"])
    error_message = "What was deleted is forgotten on the next day; the gallery alone can be recovered."
  }
}

run "what_is_kept_for_good" {
  command = plan
  variables { retention_days = { batches = 0, photos = 7 } }

  assert {
    condition     = !contains(keys(local.expiring), "batches/") && local.forgetting["batches/"] == 1
    error_message = "What is kept until somebody removes it is forgotten all the same once it was replaced or removed."
  }
  assert {
    condition     = length(aws_iam_role_policy_attachment.web_ssm) == 0 && length(aws_iam_role_policy_attachment.builder_ssm) == 0
    error_message = "Session Manager's policy reads every parameter of the account: it is for those who use it."
  }
}

run "a_part_of_a_day" {
  command = plan
  variables {
    retention_days = { results = 0.5 }
  }
  expect_failures = [var.retention_days]
}

run "a_name_that_s3_refuses" {
  command = plan
  variables {
    deployment = "1229876543"
  }
  expect_failures = [var.deployment]
}

run "names_by_variable" {
  command = plan
  variables {
    deployment = "team7"
    names = {
      bucket         = "<deployment>-in-bucket"
      request_queue  = "<deployment>-req-queue"
      response_queue = "<deployment>-resp-queue"
    }
  }
  assert {
    condition = (
      aws_s3_bucket.this.bucket == "team7-in-bucket" && aws_sqs_queue.requests.name == "team7-req-queue" &&
      aws_sqs_queue.responses["1"].name == "team7-resp-queue-1" && aws_sqs_queue.dead_letters.name == "team7-dead-letters"
    )
    error_message = "Names can be asked for."
  }
}

run "existing_network" {
  command = plan
  variables {
    existing_network = { vpc_id = "vpc-1", public_subnets = ["subnet-1"], private_subnets = ["subnet-2", "subnet-3"] }
  }
  assert {
    condition     = length(aws_vpc.this) == 0 && length(aws_subnet.private) == 0 && length(aws_vpc_endpoint.interface) == 0
    error_message = "Nothing of a network is made where there is one."
  }
  assert {
    condition     = aws_instance.web["1"].subnet_id == "subnet-1" && output.cloud.web[0].environment.FACE_WORKER_SUBNETS == "subnet-2,subnet-3"
    error_message = "Hosts go to the subnets that were given."
  }
}

run "several_web_hosts" {
  command = plan
  variables {
    web                = { count = 3 }
    dns                = { zone_id = "Z1", name = "face.example.org" }
    alarm_email        = "operator@example.org"
    operator_cidrs     = ["192.0.2.0/24"]
    availability_zones = 3
  }
  assert {
    condition     = length(aws_instance.web) == 3 && length(aws_eip.web) == 3 && length(aws_sqs_queue.responses) == 3
    error_message = "Each web host has an address and a response queue of its own."
  }
  assert {
    condition     = output.address == "https://face.example.org" && length(aws_sns_topic_subscription.alarms) == 1
    error_message = "The name is the address, and somebody hears of alarms."
  }
  assert {
    condition     = length([for rule in aws_vpc_security_group_ingress_rule.web : rule if rule.from_port == 22 && rule.cidr_ipv4 == "192.0.2.0/24"]) == 1
    error_message = "Operators may use SSH from where they are."
  }
}

run "no_web_host" {
  command = plan
  variables {
    web = { count = 0 }
  }
  expect_failures = [var.web]
}

run "more_least_than_most" {
  command = plan
  variables {
    workers = { min = 5, max = 4 }
  }
  expect_failures = [var.workers]
}
