"""When things are expected: declared timetables, what past starts teach, business days, and due times. Pure."""
