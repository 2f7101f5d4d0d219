"""The whole service on one machine: LocalStack, the web service and workers, as processes."""
