"""What holds for the whole tree: names, layers, clocks, documents, registries. Each new file is under it at once."""
