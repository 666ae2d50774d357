"""Makes the database ready before the processes start; run as `python -m routex_site.bootstrap`."""
