"""All that every round needs. The folders are the steps of the way:

labels        an export → one row per annotation → one label per image
merge         labels and image files → a plan → data/raw
pipeline      the stages of dvc.yaml: prepare, train, evaluate; with the network and the model file
comparison    the old and the new model on the same images: tables, intervals, decision
figures       everything shown to the user: charts, galleries, tables, the card with the verdict, the report
workspace     the folder of a project: git, DVC, locks, earlier versions of its files
round         one labelling round in a workspace: all of these in turn, then publishing or declining the new model

Imports point upwards in this list only, and `make lint` checks it. No module here imports one of ``extras``.
"""
