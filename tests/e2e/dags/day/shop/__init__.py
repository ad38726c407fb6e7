"""What the pipelines of the recorded day share: their timetable, the systems they read from and the lake they write."""
