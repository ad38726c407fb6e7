"""Bills that come as files: read by DuckDB, checked whole, kept as Parquet lines, and summed by day.

`files` tells what a file is, `reading` how its columns become exact numbers, `faults` what is wrong with it, `sums`
what each day cost, `folder` where lines are kept, `importing` does all of it so that a crash leaves the previous
numbers, and `desk` takes files from people.
"""
