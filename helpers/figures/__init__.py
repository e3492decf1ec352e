"""All that a person sees of a round: charts, galleries, tables, the card with the verdict, and the report."""
