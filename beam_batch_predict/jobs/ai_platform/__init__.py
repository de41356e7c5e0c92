"""The batch prediction job of AI Platform Prediction."""
