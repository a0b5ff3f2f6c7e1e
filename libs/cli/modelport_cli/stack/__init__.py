"""The local stack: every part of Modelport in one data folder, run in the foreground (`nemo services run`).

`command` is the way in. `plan` and `restart` decide, `datadir`, `parts` and `guard` act, `supervisor` joins them.
"""
