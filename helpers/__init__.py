"""Retrain an image classifier from Label Studio labels. The folders are the steps of the way:

labels        an export → one row per annotation → one label per image
merge         labels and image files → a plan → data/raw
pipeline      the stages of dvc.yaml: prepare, train, evaluate; with the network and the model file
comparison    the old and the new model on the same images: tables, intervals, decision, figures
round         one labelling round: all of these in turn, then publishing or declining the new model
story         the rounds so far, and a forecast of those to come
label_studio  the loop with a server: pull labels, queue images, answer with predictions

Imports point upwards in this list only, and the first three do not know each other: `make lint` checks it.
"""
