"""The benchmark: Routex against going direct and against peers, as ratios within one run."""
