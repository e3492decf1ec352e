"""Retrain an image classifier from Label Studio labels. The folders are the steps of the way:

labels        an export → one row per annotation → one label per image
merge         labels and image files → a plan → data/raw
pipeline      the stages of dvc.yaml: prepare, train, evaluate; with the network and the model file
comparison    the old and the new model on the same images: tables, intervals, decision
figures       all that a person sees of it: charts, galleries, tables, the card with the verdict, the report
round         one labelling round in a workspace: all of these in turn, then publishing or declining the new model
label_studio  the loop with a server: pull labels, queue images, answer with predictions

Imports point upwards in this list only, and the first three do not know each other: `make lint` checks it.
"""
