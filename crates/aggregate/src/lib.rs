//! Rules, matcher, dedup, windows and outputs: a state machine in which time is an argument.
