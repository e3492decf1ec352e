"""Ready workspaces to try the project in."""
