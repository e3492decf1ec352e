"""The model backend of Label Studio, which also starts trainings. It needs `extras.label_studio`."""
