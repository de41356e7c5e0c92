"""Pipelines to start: the mains of templates."""
