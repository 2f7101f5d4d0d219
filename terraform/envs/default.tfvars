# A team's service: the variables' defaults, written out where money depends on them.
availability_zones = 2
web                = { count = 1, type = "t3.small" }
workers            = { min = 0, max = 15, warm = 15, type = "c7i.large" }
