"""What a service asks while it runs: what its threads hold and wait for, without a trace.

It needs the recorder's library (`tracekit.recorder`) and nothing that reads traces, so that importing it costs little.
"""
