# One bucket: images/ (photos to be looked at), photos/ (enrolled ones), results/, gallery/ (templates), calibrations/ (what was measured of them),
# people/ (consent, expiry),
# batches/, inbox/ (what operators put there to be imported), unknown/, webhooks/, erasures/, idempotency/, access/ (keys, sessions), audit/,
# fleet/ (the scaling loop's lease, reports, decisions, override).

locals {
  bucket = coalesce(local.names.bucket, "${var.deployment}-photos-${local.account}")
  # Days after which what lies there is gone; 0: never.
  keeping = {
    "images/"          = var.retention_days.photos
    "photos/"          = var.retention_days.enrolled_photos
    "results/"         = var.retention_days.results
    "dead-letters/"    = var.retention_days.results
    "batches/"         = var.retention_days.batches
    "inbox/"           = var.retention_days.inbox
    "unknown/"         = var.retention_days.unknown
    "webhooks/"        = var.retention_days.webhooks
    "erasures/"        = var.retention_days.receipts
    "audit/entries/"   = var.retention_days.audit
    "fleet/decisions/" = var.retention_days.decisions
    "idempotency/"     = 1
    "i-"               = 1 # what Ansible carries to an instance by SSM
  }
  expiring = { for prefix, days in local.keeping : prefix => days if days > 0 }
  # Days after which what was deleted or replaced is gone, too (S3 counts from the next midnight, and takes its time); erasing
  # a person does not wait for it. Only the gallery can be recovered for longer.
  soon = 1
  forgetting = merge(
    { for prefix in keys(local.keeping) : prefix => local.soon if prefix != "fleet/decisions/" }, # which lies in fleet/
    { for prefix in ["people/", "access/", "fleet/", "calibrations/"] : prefix => local.soon },
    { "gallery/" = var.retention_days.versions },
  )
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_145:S3 encrypts with keys of its own; a key of ours costs a call a photo and keeps nobody out whom the bucket policy lets in
  #checkov:skip=CKV_AWS_144:photos are personal data: another copy in another region is the operator's decision
  #checkov:skip=CKV_AWS_18:access logs of photos are personal data too, and CloudTrail data events serve those who need them
  #checkov:skip=CKV2_AWS_62:the service queues photos itself
  bucket        = local.bucket
  force_destroy = !var.deletion_protection
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket     = aws_s3_bucket.this.id
  policy     = data.aws_iam_policy_document.bucket.json
  depends_on = [aws_s3_bucket_public_access_block.this]
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
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

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  dynamic "rule" {
    for_each = local.expiring
    content {
      id     = "expire ${rule.key}"
      status = "Enabled"
      filter {
        prefix = rule.key
      }
      expiration {
        days = rule.value
      }
    }
  }

  dynamic "rule" {
    for_each = local.forgetting
    content {
      id     = "forget versions of ${rule.key}"
      status = "Enabled"
      filter {
        prefix = rule.key
      }
      noncurrent_version_expiration {
        noncurrent_days = rule.value
      }
    }
  }

  rule {
    id     = "tidy up"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
    expiration {
      expired_object_delete_marker = true
    }
  }
}
