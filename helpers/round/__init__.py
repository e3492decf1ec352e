"""One labelling round in a workspace, a file for each step, in this order:

parameters → start → merging → training → comparing → verdict → publishing

`past` reads the models of earlier commits, `buttons` end a round with a click, `headless` runs one where nobody
watches, `advice` has the remedies for what git answers, and `provenance` names the programs and data that made a
report.
"""
