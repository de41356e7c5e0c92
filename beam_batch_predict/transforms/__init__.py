"""PTransforms, DoFns, model handlers and coder: wiring only, a file per step.

    ReadInstances → ConvertInstances → Predict → WriteResults

exchange `InstanceBatch`es. `BatchInstances` and `Unbatch` connect them to pipelines of rows, and
`BatchPredict` is a whole job. The work is done by functions of the other folders.
"""
