"""Old and new on the same images: scores, tables, intervals, the decision and its record."""
