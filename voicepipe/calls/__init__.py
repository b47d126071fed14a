"""One call: listening, turn-taking, replying, playout."""
