"""`make deploy`, `make plan`, `make destroy`, `make rehearse`: Terraform and Ansible in the right order."""
