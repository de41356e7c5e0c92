"""Jobs on Dataflow: what they ask for, how they are handed over, and how they are waited for.

`options` makes Dataflow's options of what a job says, by `machines` and `names`, in a `plan`:
without Beam. `submission` and `waiting` are around Beam's own client.
"""
