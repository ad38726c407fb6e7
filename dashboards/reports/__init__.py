"""Reports: tables for people and spreadsheets, made of what the API answers."""
