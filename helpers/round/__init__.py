"""One labelling round in a workspace, a file for each of its steps."""
