# Photos wait on the request queue; answers come back on the response queue of the web host that asked.

locals {
  names       = { for kind, name in var.names : kind => name == null ? null : replace(name, "<deployment>", var.deployment) }
  web_numbers = toset([for number in range(1, var.web.count + 1) : tostring(number)])
  queues = {
    requests     = coalesce(local.names.request_queue, "${var.deployment}-requests")
    dead_letters = coalesce(local.names.dead_letter_queue, "${var.deployment}-dead-letters")
    responses    = coalesce(local.names.response_queue, "${var.deployment}-responses")
  }
  message_seconds    = 4 * 24 * 3600
  visibility_seconds = 30 # a worker's heartbeat extends it
  deliveries         = 4
}

resource "aws_sqs_queue" "requests" {
  name                       = local.queues.requests
  visibility_timeout_seconds = local.visibility_seconds
  message_retention_seconds  = local.message_seconds
  sqs_managed_sse_enabled    = true
  policy                     = data.aws_iam_policy_document.queue["requests"].json
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = local.deliveries
  })
}

resource "aws_sqs_queue" "dead_letters" {
  name                       = local.queues.dead_letters
  visibility_timeout_seconds = local.visibility_seconds
  message_retention_seconds  = local.message_seconds
  sqs_managed_sse_enabled    = true
  policy                     = data.aws_iam_policy_document.queue["dead_letters"].json
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["${local.arn.sqs}:${local.queues.requests}"]
  })
}

resource "aws_sqs_queue" "responses" {
  for_each                   = local.web_numbers
  name                       = "${local.queues.responses}-${each.key}"
  visibility_timeout_seconds = local.visibility_seconds
  message_retention_seconds  = local.message_seconds
  sqs_managed_sse_enabled    = true
  policy                     = data.aws_iam_policy_document.queue["responses-${each.key}"].json
}

data "aws_iam_policy_document" "queue" {
  for_each = merge(
    { for kind in ["requests", "dead_letters"] : kind => local.queues[kind] },
    { for number in local.web_numbers : "responses-${number}" => "${local.queues.responses}-${number}" },
  )
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["sqs:*"]
    resources = ["${local.arn.sqs}:${each.value}"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_sns_topic" "alarms" {
  #checkov:skip=CKV_AWS_26:it says that a queue is long, nothing more
  count = var.alarm_email == "" ? 0 : 1
  name  = "${var.deployment}-alarms"
}

resource "aws_sns_topic_subscription" "alarms" {
  count     = var.alarm_email == "" ? 0 : 1
  topic_arn = aws_sns_topic.alarms[0].arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

resource "aws_cloudwatch_metric_alarm" "old_requests" {
  alarm_name          = "${var.deployment}-old-requests"
  alarm_description   = "Photos wait for minutes: the fleet does not grow, or workers fail."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.requests.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  threshold           = 300
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alarms[*].arn
  ok_actions          = aws_sns_topic.alarms[*].arn
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.deployment}-dead-letters"
  alarm_description   = "Jobs that no worker could finish stay unanswered: the web service does not see to them, or they are no jobs."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = aws_sns_topic.alarms[*].arn
  ok_actions          = aws_sns_topic.alarms[*].arn
}
