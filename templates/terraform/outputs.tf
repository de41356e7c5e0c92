output "job_id" {
  description = "Of the job in Dataflow."
  value       = google_dataflow_flex_template_job.predict.job_id
}

output "results" {
  description = "The directory in which the job's own directory is."
  value       = var.output_uri_prefix
}
