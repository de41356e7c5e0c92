"""How fast a batch prediction job is, and how much memory it takes, against its rivals."""
