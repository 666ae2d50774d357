"""The command line: `./routex …`, also `python -m routex_site.cli …`."""
