"""One run's life in its directory: plan, job resource, claim, resume, finish."""
