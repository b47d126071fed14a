"""Pure functions that make text speakable: markup removed, figures, dates and money in words."""
