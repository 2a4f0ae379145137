"""A policy behind an OpenAI-compatible endpoint: what is asked, the engine that answers, the server that speaks HTTP."""
