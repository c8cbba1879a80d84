"""The pictures of a report, as SVG and PNG; `canvas` is the only module that knows matplotlib.

Each module draws one picture and says in its caption what it shows, with what parameters, from which seeds and how many
runs, and how wide the 95 % confidence intervals are.
"""
