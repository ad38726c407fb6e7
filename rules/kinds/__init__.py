"""The kinds of rules, one file each: a snapshot of one subject in, violations and the next moment out. Pure."""
