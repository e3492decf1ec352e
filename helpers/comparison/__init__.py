"""Old and new on the same images: scores, tables, intervals, decision; the second look, the forecast."""
