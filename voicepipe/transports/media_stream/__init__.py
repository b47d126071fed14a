"""Media streams of telephone carriers: Twilio, Telnyx, Plivo, Vonage, SignalWire."""
