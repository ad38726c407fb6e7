"""Reading for people and programs: pages of lists, single items, and what the web UI shows.

Every list is walked by keyset (the place of the last item), so that a page costs the same at any depth and items that
come in meanwhile neither repeat nor hide others.
"""
