"""What users hold: containers, images, labels, masked views, tables, plates. They hold a backend and pass it on; they never ask it."""
