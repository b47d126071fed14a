"""Making text speakable: markup removed, figures, dates and money in words."""
