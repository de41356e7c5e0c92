"""Main programs of pipelines, for templates."""
