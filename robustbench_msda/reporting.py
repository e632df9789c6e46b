"""Reports from stored scores: tables, charts and the page of a study."""
