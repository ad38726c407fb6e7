"""Rehearsals: the real Watchtower on a clock that is moved by hand, with channels that only write down what they are
told. Rule tests are played on it.

There is no second engine: rules, routing, grouping, waits and escalations are those that would run.
"""
