"""All that a team may take away, one by one; CONTRIBUTING.md says how. Nothing in ``helpers`` knows an extra."""
