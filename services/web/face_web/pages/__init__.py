"""The web pages. Each shows and does what the service's own HTTP API answers, and nothing else."""
