variable "project" {
  description = "The project in which jobs run."
  type        = string
}

variable "region" {
  description = "The region in which jobs run: the region of their buckets."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Expected a region, such as us-central1; not a zone."
  }
}

variable "template" {
  description = "The URI of the container spec that templates/build staged."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+/.+[.]json$", var.template))
    error_message = "Expected gs://BUCKET/PATH.json."
  }
}

variable "image_repository" {
  description = "The Artifact Registry repository of the template's image: projects/P/locations/L/repositories/R."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/repositories/[^/]+$", var.image_repository))
    error_message = "Expected projects/P/locations/L/repositories/R."
  }
}

variable "job_name" {
  description = "The job's name in Dataflow. Use a new name for each run."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,60}[a-z0-9])?$", var.job_name))
    error_message = "Expected lowercase letters, digits and dashes, with a letter first."
  }
}

variable "instances_format" {
  description = "The format of the input."
  type        = string
  default     = "jsonl"

  validation {
    condition = contains(
      ["jsonl", "csv", "tf-record", "tf-record-gzip", "file-list", "parquet", "avro"],
      var.instances_format
    )
    error_message = "Expected one of jsonl, csv, tf-record, tf-record-gzip, file-list, parquet, avro."
  }
}

variable "input_uris" {
  description = "The input files; wildcards are allowed."
  type        = list(string)

  validation {
    condition     = length(var.input_uris) > 0 && alltrue([for uri in var.input_uris : can(regex("^gs://[^/;]+/[^;]+$", uri))])
    error_message = "Expected at least one URI, each as gs://BUCKET/PATH."
  }
}

variable "model_uri" {
  description = "The directory of the SavedModel."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+/.+$", var.model_uri))
    error_message = "Expected gs://BUCKET/DIRECTORY."
  }
}

variable "key_field" {
  description = "The field that identifies a row; null for none."
  type        = string
  default     = null
}

variable "output_uri_prefix" {
  description = "The directory for the results."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+(/.*)?$", var.output_uri_prefix))
    error_message = "Expected gs://BUCKET/DIRECTORY."
  }
}

variable "predictions_format" {
  description = "The format of the predictions."
  type        = string
  default     = "jsonl"

  validation {
    condition     = contains(["jsonl", "csv", "parquet", "tf-record"], var.predictions_format)
    error_message = "Expected one of jsonl, csv, parquet, tf-record."
  }
}

variable "temp_bucket" {
  description = "The bucket for Dataflow's temporary and staging files, without gs://."
  type        = string
}

variable "machine_type" {
  description = "The machine type of workers."
  type        = string
  default     = "n2-standard-4"
}

variable "max_workers" {
  description = "The maximum number of workers of a job."
  type        = number
  default     = 10

  validation {
    condition     = var.max_workers >= 1 && var.max_workers == floor(var.max_workers)
    error_message = "Expected a whole number from 1."
  }
}

variable "subnetwork" {
  description = "A subnetwork with Private Google Access, regions/R/subnetworks/S: workers then have no public addresses. null for the default network, with public addresses."
  type        = string
  default     = null
}

variable "labels" {
  description = "The labels of the job."
  type        = map(string)
  default     = {}
}
