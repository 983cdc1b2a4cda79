"""Metrics as torchmetrics classes, by name: of accuracy, of single lists, of all lists."""
