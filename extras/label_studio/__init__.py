"""The loop with a Label Studio server: pull labels and images, and send images to be labelled, in an order."""
