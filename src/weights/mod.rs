//! Checkpoints in and out, under the official key names.
