"""What pages show, a file for each page. `now` stands in each view, so that ages are rendered without a clock."""
