"""Measuring a model pack: is it still the same person, does the picture follow its prompt, and are the stated rates of
false matches true?

`engine.evaluate` draws people and prompts from a seed, makes pictures in every tier the pack offers through the same
requests that the studio makes, and judges them with encoders that had no part in making them. `report.write` turns the
result into a page and a JSON file. Nothing here knows Django.
"""
