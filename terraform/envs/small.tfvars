# One person's service: one availability zone, up to four workers, nothing warm.
availability_zones = 1
web                = { type = "t3.micro", volume_gib = 8 }
workers            = { max = 4, warm = 1, type = "c7i.large", volume_gib = 8 }
