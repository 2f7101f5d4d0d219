"""Machines behind the instances of LocalStack's EC2: Debian under systemd, each in a network namespace of its own."""
