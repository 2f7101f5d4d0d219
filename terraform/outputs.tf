output "cloud" {
  description = "All that Ansible and the services need to know."
  value = {
    deployment       = var.deployment
    region           = var.region
    bucket           = aws_s3_bucket.this.bucket
    host_environment = var.host_environment
    launch_template  = aws_launch_template.worker.name
    web = [for number in sort(local.web_numbers) : {
      number      = number
      instance    = aws_instance.web[number].id
      public_ip   = aws_eip.web[number].public_ip
      private_ip  = aws_instance.web[number].private_ip
      environment = merge(local.web_environment, { FACE_RESPONSE_QUEUE_URL = aws_sqs_queue.responses[number].url })
    }]
    builder = {
      image          = local.base_image
      instance_type  = var.workers.type
      public_address = true
      subnet         = local.public_subnets[0]
      security_group = aws_security_group.builder.id
      profile        = aws_iam_instance_profile.builder.name
      key_name       = local.key_name
      user_data      = local.first_boot
      volume_gib     = var.workers.volume_gib
    }
    name = var.dns == null ? "" : var.dns.name
  }
}

output "address" {
  description = "Where the service answers."
  value       = "https://${var.dns == null ? aws_eip.web["1"].public_ip : var.dns.name}"
}

locals {
  web_environment = merge(
    {
      FACE_REGION                = var.region
      FACE_BUCKET                = aws_s3_bucket.this.bucket
      FACE_REQUEST_QUEUE_URL     = aws_sqs_queue.requests.url
      FACE_DEAD_LETTER_QUEUE_URL = aws_sqs_queue.dead_letters.url
      FACE_DEPLOYMENT            = var.deployment
      FACE_LAUNCH_TEMPLATE       = aws_launch_template.worker.name
      FACE_IMPORT_PREFIX         = "inbox/" # the roles' rights name it
      FACE_KEEP_PROBES_DAYS      = tostring(var.retention_days.photos)
      FACE_KEEP_RESULTS_DAYS     = tostring(var.retention_days.results)
      FACE_KEEP_UNKNOWN_DAYS     = tostring(var.retention_days.unknown)
      FACE_KEEP_PHOTOS_DAYS      = tostring(var.retention_days.enrolled_photos)
      FACE_WORKER_SUBNETS        = join(",", local.private_subnets)
      FACE_MIN_WORKERS           = tostring(var.workers.min)
      FACE_MAX_WORKERS           = tostring(var.workers.max)
      FACE_WARM_WORKERS          = tostring(var.workers.warm)
    },
    var.web.environment,
    var.host_environment,
  )
}
