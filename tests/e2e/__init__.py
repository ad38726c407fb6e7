"""End-to-end tests against real services: slow, local, and not part of the default run."""
