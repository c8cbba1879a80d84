"""Files that people write for sojourn: values, tables, pointed errors, and the documentation made from them.

`fields` says which values there are, `sections` how tables are made of them, `toml` reads a file and finds every
mistake with its line, `reference` writes the page. Daemon and simulator describe their own tables with these.
"""
