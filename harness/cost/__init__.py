"""What a case should cost and how fast it can be: closed forms, rooflines, datasheets. No torch."""
