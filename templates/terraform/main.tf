# A batch prediction job on Dataflow from the flex template, and the account of the job.
#
# See docs/flex-template.md for the build of the template and for its parameters.

locals {
  bucket_of = {
    input  = distinct([for uri in var.input_uris : regex("^gs://([^/]+)", uri)[0]])
    model  = [regex("^gs://([^/]+)", var.model_uri)[0]]
    output = [regex("^gs://([^/]+)", var.output_uri_prefix)[0]]
  }
  read_buckets  = setsubtract(distinct(concat(local.bucket_of.input, local.bucket_of.model)), local.write_buckets)
  write_buckets = distinct(concat(local.bucket_of.output, [var.temp_bucket]))
}

resource "google_service_account" "predict" {
  account_id   = "batch-predict"
  display_name = "Batch prediction: launcher and workers"
}

resource "google_project_iam_member" "worker" {
  project = var.project
  role    = "roles/dataflow.worker"
  member  = google_service_account.predict.member
}

resource "google_storage_bucket_iam_member" "reads" {
  for_each = toset(local.read_buckets)

  bucket = each.value
  role   = "roles/storage.objectViewer"
  member = google_service_account.predict.member
}

# Not objectCreator: the job also reads, renames and deletes the parts of its output.
resource "google_storage_bucket_iam_member" "writes" {
  for_each = toset(local.write_buckets)

  bucket = each.value
  role   = "roles/storage.objectUser"
  member = google_service_account.predict.member
}

resource "google_artifact_registry_repository_iam_member" "image" {
  project    = split("/", var.image_repository)[1]
  location   = split("/", var.image_repository)[3]
  repository = split("/", var.image_repository)[5]
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.predict.member
}

resource "google_dataflow_flex_template_job" "predict" {
  provider = google-beta

  name                    = var.job_name
  region                  = var.region
  container_spec_gcs_path = var.template

  parameters = {
    for name, value in {
      display_name       = var.job_name
      instances_format   = var.instances_format
      input_uris         = "^;^${join(";", var.input_uris)}"
      model_uri          = var.model_uri
      key_field          = var.key_field
      predictions_format = var.predictions_format
      output_uri_prefix  = var.output_uri_prefix
    } : name => value if value != null
  }

  service_account_email = google_service_account.predict.email
  machine_type          = var.machine_type
  max_workers           = var.max_workers
  subnetwork            = var.subnetwork
  ip_configuration      = var.subnetwork == null ? null : "WORKER_IP_PRIVATE"
  temp_location         = "gs://${var.temp_bucket}/temp"
  staging_location      = "gs://${var.temp_bucket}/staging"
  labels                = var.labels

  # If this resource is deleted, cancel the job, and do not wait for its end.
  skip_wait_on_job_termination = true
  on_delete                    = "cancel"

  depends_on = [
    google_project_iam_member.worker,
    google_storage_bucket_iam_member.reads,
    google_storage_bucket_iam_member.writes,
    google_artifact_registry_repository_iam_member.image,
  ]
}
