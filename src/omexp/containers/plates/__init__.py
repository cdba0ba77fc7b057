"""Plates and wells: their documents, editing, tables, work over all fields."""
