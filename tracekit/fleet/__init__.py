"""Many traces, one answer: found, analyzed on Dask, kept as Parquet, summed up. docs/fleet.md.

Dask, fsspec and pandas are imported by the functions that need them: nobody else waits for them.
"""
