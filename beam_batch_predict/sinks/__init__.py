"""Outcomes to files: records, parts, publication, the job record."""
