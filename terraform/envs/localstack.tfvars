# LocalStack and systemd machines on one machine (make deploy TARGET=localstack, make rehearse).
region              = "us-east-1"
network_cidr        = "10.213.0.0/16"
base_image          = "ami-760aaa0f" # one that LocalStack knows; it stands for Debian
deletion_protection = false
operator_cidrs      = ["10.213.0.1/32"]
workers = {
  max  = 3
  warm = 3
}
web = {
  environment = {
    FACE_QUIET_SECONDS        = "30"
    FACE_ASSUMED_BOOT_SECONDS = "10"
    FACE_DRAIN_TARGET_SECONDS = "2" # a fleet on one machine costs nothing and is there to be watched
  }
}
