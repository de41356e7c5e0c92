"""The batch prediction job of Vertex AI."""
