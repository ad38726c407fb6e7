"""Tests of the arithmetic of error budgets."""
