"""The mini pack: a small family of models for illustrated portraits, and everything that made it.

`renderer` draws the training pictures, `people` gives sample persons; neither imports torch. `train` and `evaluate`
are the two entries that make and measure the pack.
"""
