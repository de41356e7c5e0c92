"""The PTransforms, DoFns, `ModelHandler` and coder: wiring only, one file per step."""
