"""What is unusual about a series of numbers, from its own past only: row by row, with state of a bounded size.

`detector` is the front door; it knows nothing of files, rules or stores. A row is looked at through several lenses
(`lenses`; `shapes` finds the most similar stretch before), each of which only says how far up or down its own ranking
the row stands; what the clock and the weekday explain is taken out before (`calendar`); how rare so much evidence is,
is told by the strongest episodes so far (`rarity`). `usual` is the range in which the next value is expected. `shapes`
alone needs numpy, and rules do not import it.
"""
