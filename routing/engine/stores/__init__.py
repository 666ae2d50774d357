"""Stores: the memory of one process, and Valkey for many."""
