"""Mutation tests: small faults are put into the code one by one, and the tests are asked to find each (`make mutants`).

Tests are collected once and run once, with what each of them reaches; then every fault is tried in a fork of that
process, by the tests that reach it, the quickest first. A fault is put in by handing its function other code, so that
nothing is imported again. Own code, since the tools there are (mutmut, cosmic-ray) change neither statements of SQL nor
constants, cannot be given faults by name, and keep no reasons for those that change nothing.
"""
