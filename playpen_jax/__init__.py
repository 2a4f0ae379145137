"""Playpen JAX."""
