"""Who may do what: tokens, links, sessions, and the audit chain."""
