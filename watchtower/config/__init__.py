"""The configuration: one typed YAML document, refused as a whole with every fault at its line."""
