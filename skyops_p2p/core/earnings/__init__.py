"""Earnings: what a job brings its worker by its score, and what faults cost. Pure."""
