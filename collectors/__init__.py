"""Bytes in, facts out: one package or file for each way in which runs, jobs and datasets are told of."""
