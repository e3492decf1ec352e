"""One labelling round in a workspace, a file for each step, in this order:

parameters → start → merging → training → comparing → verdict → publishing

`state` tells how far a round is, and `declining` takes one back. `headless` runs one where nobody watches, and
`unattended` keeps such a run off the work of others. `past` has the models of earlier commits, `record` their
decisions, `removals` the images that are gone, and `tags` the names of models. `storage` is DVC's remote, `advice` has
the remedies for what git answers, and `provenance` names the programs and data that made a report.
"""
