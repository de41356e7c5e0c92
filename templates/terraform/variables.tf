variable "project" {
  description = "The project in which jobs run."
  type        = string
}

variable "region" {
  description = "Where jobs run: near their buckets."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region, such as us-central1; not a zone."
  }
}

variable "template" {
  description = "The container spec that templates/build has staged."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+/.+[.]json$", var.template))
    error_message = "Expected gs://BUCKET/PATH.json."
  }
}

variable "image_repository" {
  description = "The repository of Artifact Registry that the template's image is in: projects/P/locations/L/repositories/R."
  type        = string

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/repositories/[^/]+$", var.image_repository))
    error_message = "Expected projects/P/locations/L/repositories/R."
  }
}

variable "job_name" {
  description = "The job's name in Dataflow; another one for each run."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,60}[a-z0-9])?$", var.job_name))
    error_message = "Lowercase letters, digits and dashes, with a letter first."
  }
}

variable "instances_format" {
  description = "What the input is."
  type        = string
  default     = "jsonl"

  validation {
    condition = contains(
      ["jsonl", "csv", "tf-record", "tf-record-gzip", "file-list", "parquet", "avro"],
      var.instances_format
    )
    error_message = "One of jsonl, csv, tf-record, tf-record-gzip, file-list, parquet, avro."
  }
}

variable "input_uris" {
  description = "The input files, with wildcards in them."
  type        = list(string)

  validation {
    condition     = length(var.input_uris) > 0 && alltrue([for uri in var.input_uris : can(regex("^gs://[^/;]+/[^;]+$", uri))])
    error_message = "At least one, each as gs://BUCKET/PATH."
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
  description = "The field that says which row it is; null for none."
  type        = string
  default     = null
}

variable "output_uri_prefix" {
  description = "The directory of the results."
  type        = string

  validation {
    condition     = can(regex("^gs://[^/]+(/.*)?$", var.output_uri_prefix))
    error_message = "Expected gs://BUCKET/DIRECTORY."
  }
}

variable "predictions_format" {
  description = "What the predictions are written as."
  type        = string
  default     = "jsonl"

  validation {
    condition     = contains(["jsonl", "csv", "parquet", "tf-record"], var.predictions_format)
    error_message = "One of jsonl, csv, parquet, tf-record."
  }
}

variable "temp_bucket" {
  description = "The bucket for Dataflow's own files, without gs://."
  type        = string
}

variable "machine_type" {
  description = "Of workers."
  type        = string
  default     = "n2-standard-4"
}

variable "max_workers" {
  description = "The most workers that a job may have."
  type        = number
  default     = 10

  validation {
    condition     = var.max_workers >= 1 && var.max_workers == floor(var.max_workers)
    error_message = "A whole number from 1."
  }
}

variable "subnetwork" {
  description = "regions/R/subnetworks/S with Private Google Access: workers have no public addresses then. null for the default network, with public addresses."
  type        = string
  default     = null
}

variable "labels" {
  description = "Of the job."
  type        = map(string)
  default     = {}
}
