"""The recipe of the model that ships with cfgen: from freely licensed pictograms to weights."""
