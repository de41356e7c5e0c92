output "job_id" {
  description = "The id of the Dataflow job."
  value       = google_dataflow_flex_template_job.predict.job_id
}

output "results" {
  description = "The directory that contains the output directory of the job."
  value       = var.output_uri_prefix
}
