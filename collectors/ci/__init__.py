"""Change markers, and runs if they are wanted, from CI: GitHub Actions, GitLab CI, Jenkins."""

from collectors.ci.decode import Ci, CiConfig

__all__ = ["Ci", "CiConfig"]
