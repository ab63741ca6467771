//! The three encoders and their heads.
