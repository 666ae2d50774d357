"""Long fuzzing of every decoder, and the worst megabytes that we can think of: `make fuzz`."""
