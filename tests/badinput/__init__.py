"""The corpus of bad input: 16 kinds of 40 files, made in code, for every entry there is (docs/security.md)."""
