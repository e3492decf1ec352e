"""Old and new on the same images: tables, intervals, decision, figures, report."""
