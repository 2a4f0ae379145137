"""The ways to learn. Each module turns a run into one function `(state, step) -> (state, metrics)`."""
