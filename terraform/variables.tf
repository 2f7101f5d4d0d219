variable "alarm_email" {
  description = "Who hears of alarms; empty: nobody, the alarms are still there to look at."
  type        = string
  default     = ""
}

variable "availability_zones" {
  description = "In how many availability zones the network of our own lies."
  type        = number
  default     = 2
  validation {
    condition     = var.availability_zones >= 1 && var.availability_zones <= 4
    error_message = "One to four availability zones."
  }
}

variable "base_image" {
  description = "AMI of the hosts before Ansible configures them; empty: the newest Debian 12 for x86-64."
  type        = string
  default     = ""
}

variable "client_cidrs" {
  description = "From where photos may be sent (HTTPS, and HTTP, which only redirects); empty: from where operators come. Whoever connects needs a key, too."
  type        = list(string)
  default     = []
}

variable "deletion_protection" {
  description = "Whether web hosts and the bucket's contents are kept from being destroyed by accident."
  type        = bool
  default     = true
}

variable "deployment" {
  description = "Name of this deployment: prefix of all names, and value of the tag face:deployment."
  type        = string
  default     = "face"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.deployment))
    error_message = "Two to 31 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "dns" {
  description = "A record for the web hosts: zone_id of a Route 53 zone, and the full name."
  type        = object({ zone_id = string, name = string })
  default     = null
}

variable "existing_network" {
  description = "An existing VPC instead of one of our own. Its private subnets need a way to S3 and SQS."
  type        = object({ vpc_id = string, public_subnets = list(string), private_subnets = list(string) })
  default     = null
}

variable "host_environment" {
  description = "Environment variables of every service on every host: LocalStack's endpoint and keys."
  type        = map(string)
  default     = {}
}

variable "interface_endpoints" {
  description = "AWS services that the private subnets of our own network reach by an interface endpoint."
  type        = set(string)
  default     = ["sqs"]
}

variable "log_days" {
  description = "For how long the network's flow log is kept."
  type        = number
  default     = 365
}

variable "names" {
  description = "Names that differ from the usual ones; <deployment> in them becomes the deployment's name, and response queues get a number at their end."
  type = object({
    bucket            = optional(string)
    request_queue     = optional(string)
    response_queue    = optional(string)
    dead_letter_queue = optional(string)
  })
  default = {}
}

variable "network_cidr" {
  description = "Addresses of the network of our own."
  type        = string
  default     = "10.20.0.0/16"
}

variable "operator_cidrs" {
  description = "From where operators may use SSH; empty: from nowhere (use SSM)."
  type        = list(string)
  default     = []
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "retention_days" {
  description = "For how long things are kept; 0: until somebody removes them. photos: those sent to be looked at. enrolled_photos, inbox: those of enrolled people, and those to be imported. unknown: faces of strangers, where they are kept at all. receipts: of erasures. versions: for how long the gallery can be recovered after something was deleted or replaced there."
  type = object({
    photos          = optional(number, 30)
    enrolled_photos = optional(number, 0)
    results         = optional(number, 30)
    batches         = optional(number, 30)
    inbox           = optional(number, 0)
    unknown         = optional(number, 30)
    webhooks        = optional(number, 30)
    receipts        = optional(number, 1095)
    audit           = optional(number, 0)
    decisions       = optional(number, 90)
    versions        = optional(number, 7)
  })
  default = {}
  validation {
    condition     = alltrue([for days in values(var.retention_days) : days >= 0 && floor(days) == days]) && var.retention_days.versions >= 1
    error_message = "Whole days; 0 keeps things. Versions of the gallery are kept for a day at least."
  }
}

variable "ssh_public_key" {
  description = "OpenSSH public key of whoever runs Ansible; empty: none (use SSM)."
  type        = string
  default     = ""
}

variable "ssm_agent" {
  description = "Whether web hosts and the builder of images install AWS's SSM agent at their first boot: Debian's image has none."
  type        = bool
  default     = false
}

variable "web" {
  description = "Web hosts: how many, their size, and further FACE_ settings of the web service and its scaling loop."
  type = object({
    count       = optional(number, 1)
    type        = optional(string, "t3.small")
    volume_gib  = optional(number, 16)
    environment = optional(map(string), {})
  })
  default = {}
  validation {
    condition     = var.web.count >= 1
    error_message = "At least one web host: the scaling loop runs there."
  }
}

variable "workers" {
  description = "Workers: size, least and most that run, stopped ones to keep, and further FACE_ settings of the worker."
  type = object({
    min         = optional(number, 0)
    max         = optional(number, 15)
    warm        = optional(number, 15)
    type        = optional(string, "c7i.large")
    volume_gib  = optional(number, 16)
    environment = optional(map(string), {})
  })
  default = {}
  validation {
    condition     = var.workers.min <= var.workers.max && var.workers.max >= 1
    error_message = "At least one worker may run, and no fewer than always run."
  }
}
