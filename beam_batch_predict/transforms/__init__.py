"""PTransforms, DoFns, `ModelHandler`, coder: wiring only, a file per step.

    ReadInstances → ConvertInstances → Predict → WriteResults

carry `InstanceBatch`es; `BatchInstances` and `Unbatch` are the doors for pipelines of rows, and
`BatchPredict` is the whole of a job. The work is in functions of the other folders.
"""
