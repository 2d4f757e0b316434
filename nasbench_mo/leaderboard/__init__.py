"""Boards: searchers compared on fixed problems, from submissions whose every evaluation is checked."""
